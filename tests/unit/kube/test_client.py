"""The client: typed errors, what is tried again and what is not, and where its configuration comes from."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

from app.kube.client import connect
from app.kube.errors import (
    KubeConflictError,
    KubeError,
    KubeForbiddenError,
    KubeGoneError,
    KubeInvalidError,
    KubeNotFoundError,
    KubeUnauthorizedError,
    KubeUnavailableError,
)
from app.kube.resources import CONFIG_MAPS, INFERENCE_SERVICES, TOKEN_REVIEWS
from tests.unit.kube.scripted_api_server import json, scripted

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request


class Answers:
    """Gives its answers in turn, the last one again and again."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str]] = []
        self.authorization: set[str] = set()

    async def answer(self, request: Request) -> Response:
        self.requests.append((request.method, request.url.path))
        self.authorization.add(request.headers.get("authorization", ""))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, KubeInvalidError),
        (401, KubeUnauthorizedError),
        (403, KubeForbiddenError),
        (404, KubeNotFoundError),
        (409, KubeConflictError),
        (410, KubeGoneError),
        (418, KubeError),
        (422, KubeInvalidError),
        (429, KubeUnavailableError),
        (500, KubeUnavailableError),
        (504, KubeUnavailableError),
    ],
)
@pytest.mark.parametrize("body", [{"reason": "Because", "message": "text"}, ["odd"], None])
async def test_statuses_become_errors_of_their_own(
    tmp_path: Path, status: int, kind: type[KubeError], body: Any
) -> None:
    async with scripted(Answers(json(body, status)), tmp_path) as client:
        with pytest.raises(KubeError) as caught:
            await client.get(CONFIG_MAPS, "x", namespace="maas")
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.reason == ("Because" if isinstance(body, dict) else "")


async def test_an_error_page_that_is_no_json_is_an_error_all_the_same(tmp_path: Path) -> None:
    async with scripted(Answers(Response("<html>", 502)), tmp_path) as client:
        with pytest.raises(KubeUnavailableError, match="502"):
            await client.get(CONFIG_MAPS, "x", namespace="maas")


async def test_reads_and_reviews_are_tried_twice_and_creations_once(tmp_path: Path) -> None:
    busy = Answers(json({}, 500))
    async with scripted(busy, tmp_path) as client:
        for call in (
            client.get(CONFIG_MAPS, "x", namespace="maas"),
            client.review(TOKEN_REVIEWS, {}),
            client.delete(CONFIG_MAPS, "x", namespace="maas"),
            client.create(CONFIG_MAPS, {}, namespace="maas"),
            client.merge_patch(CONFIG_MAPS, "x", {}, namespace="maas"),
        ):
            with pytest.raises(KubeUnavailableError):
                await call
    methods = [method for method, _ in busy.requests]
    assert methods == ["GET", "GET", "POST", "POST", "DELETE", "DELETE", "POST", "PATCH"]
    assert busy.authorization == {"Bearer sha256~service"}


async def test_a_second_try_may_succeed(tmp_path: Path) -> None:
    async with scripted(Answers(json({}, 503), json({"kind": "ConfigMap"})), tmp_path) as client:
        assert await client.get(CONFIG_MAPS, "x", namespace="maas") == {"kind": "ConfigMap"}


async def test_who_is_told_when_to_come_back_does_not_come_back_sooner(tmp_path: Path) -> None:
    busy = Answers(json({}, 429, **{"Retry-After": "7"}))
    async with scripted(busy, tmp_path) as client:
        with pytest.raises(KubeUnavailableError) as caught:
            await client.get(CONFIG_MAPS, "x", namespace="maas")
    assert caught.value.retry_after == 7
    assert len(busy.requests) == 1


@pytest.mark.parametrize("answer", [Response(b"nonsense"), Response(b"[]"), Response(b"")])
async def test_an_answer_that_is_no_object_is_no_answer(tmp_path: Path, answer: Response) -> None:
    async with scripted(Answers(answer), tmp_path) as client:
        with pytest.raises(KubeUnavailableError):
            await client.get(CONFIG_MAPS, "x", namespace="maas")


async def test_names_are_quoted_in_paths(tmp_path: Path) -> None:
    server = Answers(json({}))
    async with scripted(server, tmp_path) as client:
        await client.get(INFERENCE_SERVICES, "../x?y", namespace="a/b")
    path = "/apis/serving.kserve.io/v1beta1/namespaces/a%2Fb/inferenceservices/..%2Fx%3Fy"
    assert INFERENCE_SERVICES.path(namespace="a/b", name="../x?y") == path


@pytest.mark.parametrize("content", [None, "", "[]", "{", "clusters: []", "current-context: nowhere"])
async def test_an_unusable_kubeconfig_is_named(tmp_path: Path, content: str | None) -> None:
    kubeconfig = tmp_path / "config"
    if content is not None:
        kubeconfig.write_text(content)
    with pytest.raises(KubeError, match="config"):
        await connect(
            str(kubeconfig),
            timeout_seconds=1,
            connections=1,
            observe=lambda *_: None,
            random=random.Random(1),  # noqa: S311  # spreads retries
        )


async def test_without_a_kubeconfig_outside_of_a_pod_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeError, match="set KUBECONFIG"):
        await connect(
            None,
            timeout_seconds=1,
            connections=1,
            observe=lambda *_: None,
            random=random.Random(1),  # noqa: S311  # spreads retries
        )
