"""The client: typed errors, what is tried again and what is not, and where its configuration comes from."""

from __future__ import annotations

import asyncio
import json as stdlib_json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from app.kube.connect import connect
from app.kube.errors import (
    FieldConflict,
    KubeConflictError,
    KubeError,
    KubeForbiddenError,
    KubeGoneError,
    KubeInvalidError,
    KubeNotFoundError,
    KubeUnauthorizedError,
    KubeUnavailableError,
)
from app.kube.forms import METADATA
from app.kube.resources import CONFIG_MAPS, INFERENCE_SERVICES, TOKEN_REVIEWS
from app.kube.session import environment_proxy
from app.kube.timestamps import timestamp
from app.kube.token_file import TokenFile
from app.observability.tracing import current, open_tracer
from app.serving import bind, serving
from app.settings import TracingSettings
from tests.certificate_files import issued_files
from tests.loopback import free_port
from tests.otlp import collector
from tests.unit.kube.scripted_api_server import Answering, json, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from app.kube.client import KubeClient


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


class Rotating:
    """Accepts one token and no other."""

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted
        self.created = 0

    async def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.accepted}":
            return json({"reason": "Unauthorized", "message": "Unauthorized"}, 401)
        self.created += request.method == "POST"
        return json({"kind": "ConfigMap"})


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
            client.apply(CONFIG_MAPS, "x", {}, namespace="maas", field_manager="me"),
        ):
            with pytest.raises(KubeUnavailableError):
                await call
    methods = [method for method, _ in busy.requests]
    assert methods == ["GET", "GET", "POST", "POST", "DELETE", "DELETE", "POST", "PATCH", "PATCH"]
    assert busy.authorization == {"Bearer sha256~service"}


async def test_what_others_keep_is_told_field_by_field(tmp_path: Path) -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": message, "field": field}
        for message, field in (
            ('conflict with "kubectl-edit" using kuadrant.io/v1', ".spec.limits.free.rates"),
            ('conflict with "argocd"', ".data.a"),
            ("something else", ".data.b"),
        )
    ]
    causes.append({"reason": "FieldValueInvalid", "message": "no", "field": "x"})
    status = {"reason": "Conflict", "message": "Apply failed", "details": {"causes": [*causes, "odd"]}}
    async with scripted(Answers(json(status, 409)), tmp_path) as client:
        with pytest.raises(KubeConflictError) as caught:
            await client.apply(CONFIG_MAPS, "x", {}, namespace="maas", field_manager="me")
    assert caught.value.field_conflicts == (
        FieldConflict("kubectl-edit", ".spec.limits.free.rates"),
        FieldConflict("argocd", ".data.a"),
        FieldConflict("unknown", ".data.b"),
    )


@pytest.mark.parametrize("details", [None, "odd", {}, {"causes": None}, {"causes": 5}])
async def test_a_conflict_without_causes_is_about_the_object_as_a_whole(tmp_path: Path, details: Any) -> None:
    answers = Answers(json({"reason": "Conflict", "message": "modified", "details": details}, 409))
    async with scripted(answers, tmp_path) as client:
        with pytest.raises(KubeConflictError) as caught:
            await client.apply(CONFIG_MAPS, "x", {}, namespace="maas", field_manager="me")
    assert caught.value.field_conflicts == ()


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


async def test_who_has_waited_as_long_as_one_waits_does_not_wait_again(tmp_path: Path) -> None:
    class Silent:
        requests = 0

        async def answer(self, _request: Request) -> Response:
            self.requests += 1
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    silent = Silent()
    async with scripted(silent, tmp_path) as client:
        with pytest.raises(KubeUnavailableError, match="Timeout"):
            await client.get(CONFIG_MAPS, "x", namespace="maas")
    assert silent.requests == 1


@pytest.mark.parametrize("answer", [Response(b"nonsense"), Response(b"[]"), Response(b"")])
async def test_an_answer_that_is_no_object_is_no_answer(tmp_path: Path, answer: Response) -> None:
    async with scripted(Answers(answer), tmp_path) as client:
        with pytest.raises(KubeUnavailableError):
            await client.get(CONFIG_MAPS, "x", namespace="maas")


WHOLE_CONFIG_MAP = {
    "kind": "ConfigMap",
    "metadata": {"name": "one", "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}]},
    "data": {"large": "x" * 1000},
}


async def test_a_server_that_knows_no_metadata_form_is_read_the_same_way(tmp_path: Path) -> None:
    page = {"kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": [WHOLE_CONFIG_MAP]}
    server = Answers(json(page), json(WHOLE_CONFIG_MAP))
    wanted = {"metadata": {"name": "one", "labels": {"a": "b"}}}
    async with scripted(server, tmp_path) as client:
        assert await client.list(CONFIG_MAPS, form=METADATA) == {
            "metadata": {"resourceVersion": "7"},
            "items": [wanted],
        }
        assert await client.get(CONFIG_MAPS, "one", namespace="maas", form=METADATA) == wanted


async def test_metadata_of_another_shape_than_kubernetes_has_is_no_answer(tmp_path: Path) -> None:
    async with scripted(Answers(json({"items": [{"metadata": {"labels": {"a": 1}}}]})), tmp_path) as client:
        with pytest.raises(KubeUnavailableError):
            await client.list(CONFIG_MAPS, form=METADATA)


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


def kubeconfig_of(directory: Path, *, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    path = directory / "special"
    context = {"cluster": "c", "user": "u"}
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


@asynccontextmanager
async def connected(kubeconfig: Path | None) -> AsyncIterator[KubeClient]:
    client = await connect(
        str(kubeconfig) if kubeconfig else None,
        timeout_seconds=2,
        connections=1,
        observe=lambda *_: None,
        random=random.Random(1),  # noqa: S311  # spreads retries
    )
    yield client
    await client.close()


@asynccontextmanager
async def listening(server: Answering, certificate: tuple[Path, Path] | None = None) -> AsyncIterator[int]:
    app = Starlette(routes=[Route("/{path:path}", server.answer, methods=["GET", "POST"])])
    listener = bind("scripted", "127.0.0.1", 0)
    async with serving((app, listener), shutdown_seconds=0.1, certificate=certificate):
        yield listener.port


async def test_the_proxy_of_a_kubeconfig_is_used(tmp_path: Path) -> None:
    server = Answers(json({"kind": "ConfigMap"}))
    async with listening(server) as port:
        cluster = {"server": "http://cluster.invalid", "proxy-url": f"http://127.0.0.1:{port}"}
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={"token": "t"})) as client:
            assert await client.get(CONFIG_MAPS, "x", namespace="maas") == {"kind": "ConfigMap"}
    assert server.requests == [("GET", "/api/v1/namespaces/maas/configmaps/x")]


async def test_the_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Answers(json({"kind": "ConfigMap"}))
    async with listening(server) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "somewhere.else")
        kubeconfig = kubeconfig_of(
            tmp_path, cluster={"server": "http://cluster.invalid"}, user={"token": "t"}
        )
        async with connected(kubeconfig) as client:
            assert await client.get(CONFIG_MAPS, "x", namespace="maas") == {"kind": "ConfigMap"}
    assert server.requests == [("GET", "/api/v1/namespaces/maas/configmaps/x")]


@pytest.mark.parametrize("excepted", ["*", "127.0.0.1", "other,127.0.0.1:{port}"])
async def test_the_proxy_of_the_environment_is_passed_by_where_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    async with listening(Answers(json({"kind": "ConfigMap"}))) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("no_proxy", excepted.format(port=port))
        cluster = {"server": f"http://127.0.0.1:{port}"}
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={"token": "t"})) as client:
            assert await client.get(CONFIG_MAPS, "x", namespace="maas") == {"kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://cluster.example:6443", "http://secure.example:3128"),
        ("http://cluster.example", "http://plain.example:3128"),
        ("https://api.internal.example:6443", None),
        ("https://internal.example", None),
        ("https://notinternal.example", "http://secure.example:3128"),
        ("https://", None),
    ],
)
def test_which_proxy_an_api_server_is_behind(
    url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://secure.example:3128")
    monkeypatch.setenv("http_proxy", "http://plain.example:3128")
    monkeypatch.setenv("no_proxy", ".internal.example")
    assert environment_proxy(url) == proxy
    monkeypatch.delenv("https_proxy")
    monkeypatch.delenv("http_proxy")
    assert environment_proxy(url) is None


async def test_a_password_in_netrc_is_not_for_the_api_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = Answers(json({"kind": "ConfigMap"}))
    async with listening(server) as port:
        cluster = {"server": f"http://127.0.0.1:{port}"}
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={})) as client:
            await client.get(CONFIG_MAPS, "x", namespace="maas")
    assert server.authorization == {""}


async def test_the_server_name_of_a_kubeconfig_is_the_one_that_the_certificate_must_have(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    certificate, ca = issued_files(authority, "kubernetes.example.com", tmp_path), tmp_path / "ca"
    authority.cert_pem.write_to_path(str(ca))
    async with listening(Answers(json({"kind": "ConfigMap"})), certificate) as port:
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca)}
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={"token": "t"})) as client:
            with pytest.raises(KubeUnavailableError, match="Certificate"):
                await client.get(CONFIG_MAPS, "x", namespace="maas")
        cluster["tls-server-name"] = "kubernetes.example.com"
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={"token": "t"})) as client:
            assert await client.get(CONFIG_MAPS, "x", namespace="maas") == {"kind": "ConfigMap"}


async def test_a_ca_that_is_none_makes_a_kubeconfig_unusable(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("not a certificate")
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(tmp_path / "ca")}
    with pytest.raises(KubeError, match="kubeconfig"):
        async with connected(kubeconfig_of(tmp_path, cluster=cluster, user={"token": "t"})):
            pass


_PLUGIN = """#!/bin/sh
echo run >> {log}
cat {status}
"""


async def test_a_plugin_is_asked_again_before_its_token_expires_and_not_sooner(tmp_path: Path) -> None:
    plugin, log, status = tmp_path / "plugin", tmp_path / "log", tmp_path / "status"
    plugin.write_text(_PLUGIN.format(log=log, status=status))
    plugin.chmod(0o755)
    version = "client.authentication.k8s.io/v1"

    def gives(token: str, seconds: int) -> None:
        until = timestamp(int(time.time()) + seconds)
        document = {"token": token, "expirationTimestamp": until}
        status.write_text(
            stdlib_json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": document})
        )

    gives("short", 60)
    server = Answers(json({}))
    async with listening(server) as port:
        kubeconfig = kubeconfig_of(
            tmp_path,
            cluster={"server": f"http://127.0.0.1:{port}"},
            user={"exec": {"apiVersion": version, "command": str(plugin)}},
        )
        async with connected(kubeconfig) as client:
            gives("long", 3600)
            for _ in range(3):
                await client.get(CONFIG_MAPS, "x", namespace="maas")
            assert server.authorization == {"Bearer long"}
            assert log.read_text().count("run") == 2


async def test_a_plugin_is_asked_again_when_its_token_is_not_accepted_but_not_for_every_request(
    tmp_path: Path,
) -> None:
    plugin, log, status = tmp_path / "plugin", tmp_path / "log", tmp_path / "status"
    plugin.write_text(_PLUGIN.format(log=log, status=status))
    plugin.chmod(0o755)
    version = "client.authentication.k8s.io/v1"

    def gives(token: str) -> None:
        status.write_text(
            stdlib_json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}})
        )

    gives("old")
    server = Rotating("new")
    async with listening(server) as port:
        kubeconfig = kubeconfig_of(
            tmp_path,
            cluster={"server": f"http://127.0.0.1:{port}"},
            user={"exec": {"apiVersion": version, "command": str(plugin)}},
        )
        async with connected(kubeconfig) as client:
            gives("new")
            for _ in range(3):
                await client.create(CONFIG_MAPS, {}, namespace="maas")
            server.accepted = "newest"
            for _ in range(3):
                with pytest.raises(KubeUnauthorizedError):
                    await client.get(CONFIG_MAPS, "x", namespace="maas")
    assert log.read_text().count("run") == 2


@pytest.mark.parametrize("relative", [True, False])
async def test_the_token_file_of_a_kubeconfig_is_read_again_as_soon_as_its_token_is_not_accepted(
    tmp_path: Path, *, relative: bool
) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    server = Rotating("old")
    async with listening(server) as port:
        kubeconfig = kubeconfig_of(
            tmp_path,
            cluster={"server": f"http://127.0.0.1:{port}"},
            user={"tokenFile": file.name if relative else str(file)},
        )
        async with connected(kubeconfig) as client:
            await client.create(CONFIG_MAPS, {}, namespace="maas")
            file.write_text("new\n")
            server.accepted = "new"
            # Also what must not be done twice: it was not done at all.
            await client.create(CONFIG_MAPS, {}, namespace="maas")
            assert server.created == 2

            server.accepted = "newest"
            with pytest.raises(KubeUnauthorizedError):
                await client.get(CONFIG_MAPS, "x", namespace="maas")
            file.write_text("")
            with pytest.raises(KubeUnavailableError, match="credentials"):
                await client.get(CONFIG_MAPS, "x", namespace="maas")
            server.accepted = "new"
            await client.create(CONFIG_MAPS, {}, namespace="maas")


async def test_a_token_file_is_read_every_minute_and_may_be_away_for_a_moment(tmp_path: Path) -> None:
    now = 0.0
    file, configuration = tmp_path / "token", Configuration()
    token = TokenFile(file, clock=lambda: now)
    with pytest.raises(OSError, match="token"):
        await token.refresh(configuration)
    now = 60
    file.write_text("one")
    await token.refresh(configuration)
    file.write_text("two")
    now = 119
    await token.refresh(configuration)
    assert configuration.api_key["BearerToken"] == "Bearer one"
    now = 120
    await token.refresh(configuration)
    assert configuration.api_key["BearerToken"] == "Bearer two"
    file.unlink()
    now = 180
    await token.refresh(configuration)
    assert configuration.api_key["BearerToken"] == "Bearer two"


async def test_a_plugin_that_fails_later_makes_the_api_unavailable_and_nothing_worse(tmp_path: Path) -> None:
    class Failing:
        def is_fresh(self) -> bool:
            return False

        async def refresh(self, _configuration: object) -> None:
            raise ConfigException("Token file exists but empty.")

    async with scripted(Answers(json({})), tmp_path) as client:
        client._transport._credentials = Failing()  # type: ignore[assignment]  # noqa: SLF001  # as a plugin may
        with pytest.raises(KubeUnavailableError, match="credentials"):
            await client.get(CONFIG_MAPS, "x", namespace="maas")
        with pytest.raises(KubeUnavailableError, match="credentials"):
            async with client.watch(CONFIG_MAPS, {}, namespace="maas", silence_seconds=1):
                pass


async def test_what_is_said_of_an_unusable_kubeconfig_holds_none_of_its_secrets(tmp_path: Path) -> None:
    kubeconfig = kubeconfig_of(tmp_path, cluster={"server": "https://127.0.0.1:1"}, user={})
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"] = [{"name": "u", "token": "s3cret"}]
    kubeconfig.write_text(yaml.safe_dump(document))
    with pytest.raises(KubeError, match="Expected key user") as caught:
        async with connected(kubeconfig):
            pass
    assert "s3cret" not in str(caught.value)


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


async def test_a_call_tells_the_api_server_which_trace_it_belongs_to(tmp_path: Path) -> None:
    heard: list[str | None] = []

    class Hears(Answers):
        async def answer(self, request: Request) -> Response:
            heard.append(request.headers.get("traceparent"))
            return await super().answer(request)

    async with collector() as traces, scripted(Hears(json({"kind": "ConfigMap"})), tmp_path) as client:
        tracer = open_tracer(TracingSettings(endpoint=traces.url), random=random.Random(1))  # noqa: S311
        assert tracer is not None
        await client.get(CONFIG_MAPS, "x", namespace="maas")
        current.set(span := tracer.begin("request", None, {}))
        assert span is not None
        await client.get(CONFIG_MAPS, "x", namespace="maas")
        current.set(None)
        span.end()
        await tracer.close()
    (call,) = [span for span in traces.spans if span.name == "get configmaps"]
    assert heard == [None, f"00-{span.trace_id}-{call.span_id}-01"]
