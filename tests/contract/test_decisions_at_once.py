"""What the gateway app decides without waiting: only what it has seen, and only what may pass."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.answers_at_once import CanAnswerAtOnce
from app.main import create_gateway_app
from tests.contract.test_live_tokens import NO_FREE
from tests.workspace import FREE, PREMIUM, eventually

if TYPE_CHECKING:
    from tests.workspace import Replica

Decision = dict[str, str] | None

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"


class Decisions:
    """Asks it as the server does that holds a whole request."""

    def __init__(self, maas: Replica, token: str, model: str) -> None:
        app: object = create_gateway_app(maas.service)
        assert isinstance(app, CanAnswerAtOnce)
        self._app = app
        self._token = token
        self._body = orjson.dumps({"model": model, "messages": []})

    def decide(
        self,
        *,
        method: str = "POST",
        path: str = CHAT,
        body: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        token: str | None = None,
    ) -> Decision:
        """The headers of the answer that lets it pass; None if that is not said at once."""
        authorization = b"Bearer " + (self._token if token is None else token).encode()
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": f"/internal/authorize{path}",
            "headers": [(b"authorization", authorization), *headers],
        }
        answer = self._app.at_once(scope, self._body if body is None else body)
        return None if answer is None else {name.decode(): value.decode() for name, value in answer}

    def wired(self) -> tuple[bytes, bytes]:
        """Head and body of the same request, as they go over a connection."""
        head = (
            f"POST /internal/authorize{CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self._token}\r\n"
        )
        return f"{head}Content-Length: {len(self._body)}\r\n\r\n".encode(), self._body


async def seen(maas: Replica) -> tuple[Decisions, str, str]:
    """One who asks about a token that was seen with this model; the token's id."""
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    issued = await (await maas.caller("alice@example.com")).issued()
    answer = await maas.authorize(issued["token"], model)
    assert answer.status_code == 200
    return Decisions(maas, issued["token"], model), model, issued["id"]


async def test_what_was_seen_passes_at_once_with_owner_tier_and_model(maas: Replica) -> None:
    decisions, model, _ = await seen(maas)
    assert decisions.decide() == {
        "x-maas-user": "alice@example.com",
        "x-maas-tier": "free",
        "x-maas-model": model,
    }
    assert decisions.decide(method="GET", path=MODELS, body=b"") == {
        "x-maas-user": "alice@example.com",
        "x-maas-tier": "free",
    }


async def test_what_was_not_seen_has_to_wait(maas: Replica) -> None:
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    issued = await (await maas.caller("alice")).issued()
    decisions = Decisions(maas, issued["token"], model)
    assert decisions.decide() is None
    assert (await maas.authorize(issued["token"], method="GET", path=MODELS)).status_code == 200
    assert decisions.decide(method="GET", path=MODELS, body=b"") is not None
    assert decisions.decide() is None  # Whether they may use the model was not asked yet.


@pytest.mark.parametrize(
    "request_",
    [
        {"token": ""},
        {"token": "x.y.z"},
        {"headers": ((b"authorization", b"Bearer other"),)},
        {"headers": ((b"content-encoding", b"gzip"),)},
        {"body": b""},
        {"body": b"{}"},
        {"body": b"no"},
        {"body": b"\xff\xfe"},
        {"body": b'{"model": ["qwen3"]}'},
        {"body": b'{"model": "no-such-model"}'},
        {"body": b'{"model": "x\\r\\nx-maas-user: root"}'},
        {"body": b"[" * 100_000},
        {"method": "GET", "body": b""},
        {"method": "GET", "path": MODELS + "/..%2fchat", "body": b"", "token": "x"},
        {"method": "GET", "path": MODELS + "/../chat/completions", "body": b""},
    ],
    ids=str,
)
async def test_whatever_is_not_right_is_never_let_pass_at_once(
    maas: Replica, request_: dict[str, Any]
) -> None:
    decisions, _, _ = await seen(maas)
    assert decisions.decide() is not None
    assert decisions.decide(**request_) is None


async def test_a_body_over_the_limit_is_not_let_pass_at_once(maas: Replica) -> None:
    decisions, model, _ = await seen(maas)
    prompt = b"x" * maas.service.settings.gateway.max_body_bytes
    assert decisions.decide(body=b'{"model": "%s", "prompt": "%s"}' % (model.encode(), prompt)) is None


async def test_a_model_that_was_refused_is_not_let_pass_at_once(maas: Replica) -> None:
    decisions, _, _ = await seen(maas)
    await maas.known(model := await maas.workspace.model("granite", PREMIUM))
    body = orjson.dumps({"model": model})
    issued = await (await maas.caller("bob")).issued()
    assert (await maas.authorize(issued["token"], model)).status_code == 403
    assert decisions.decide(token=issued["token"], body=body) is None


async def test_a_revocation_ends_it(maas: Replica) -> None:
    decisions, _, token_id = await seen(maas)
    alice = await maas.caller("alice@example.com")
    assert (await alice.delete(f"/maas-api/tokens/{token_id}")).status_code == 204
    assert decisions.decide() is None


async def test_a_new_mapping_is_in_force_for_it(maas: Replica) -> None:
    decisions, _, _ = await seen(maas)
    await maas.workspace.map_tiers(NO_FREE)
    await eventually(lambda: decisions.decide() is None)


async def test_over_the_wire_a_request_in_one_piece_is_answered_as_one_in_two(maas: Replica) -> None:
    decisions, _, _ = await seen(maas)
    expected = decisions.decide()
    assert expected is not None
    (head, body), url = decisions.wired(), maas.gateway.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    async with asyncio.timeout(10):
        for pieces in ((head + body,), (head, body), (head + body,)):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            assert status == "HTTP/1.1 200 OK"
            answered = dict(line.split(": ", 1) for line in lines if line)
            assert {name: answered.pop(name) for name in expected} == expected
            assert set(answered) == {"date", "content-length"}
    writer.close()
