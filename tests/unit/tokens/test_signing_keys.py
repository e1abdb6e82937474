"""Keys are asked for when they are needed, at a bounded rate, whatever anybody makes up."""

from __future__ import annotations

import asyncio
import json as stdlib_json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from app.kube.errors import KubeUnavailableError
from app.tokens.signing_keys import SigningKeys
from tests.unit.kube.scripted_api_server import json, scripted

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


def a_key(key_id: str) -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    document: dict[str, Any] = stdlib_json.loads(RSAAlgorithm.to_jwk(key))
    return {**document, "kid": key_id, "alg": "RS256", "use": "sig"}


class Published:
    """What the API server says of its keys."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.away = False
        self.asked = 0

    async def answer(self, request: Request) -> Response:
        if request.url.path.endswith("openid-configuration"):
            self.asked += 1
        if self.away:
            return json({"message": "away"}, 503, **{"Retry-After": "1"})
        if request.url.path.endswith("openid-configuration"):
            return json({"issuer": "https://kubernetes.default.svc"})
        return json({"keys": self.keys})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_fetched_when_the_first_one_is_needed(tmp_path: Path) -> None:
    server = Published(a_key("one"))
    async with scripted(server, tmp_path) as client:
        keys = SigningKeys(client, clock=Clock())
        assert (found := await keys.key("one")) is not None
        assert found.key_id == "one"
        assert keys.issuer == "https://kubernetes.default.svc"
        await keys.key("one")
    assert server.asked == 1


async def test_a_new_key_is_found_and_one_that_was_withdrawn_is_forgotten(tmp_path: Path) -> None:
    server, clock = Published(a_key("one")), Clock()
    async with scripted(server, tmp_path) as client:
        keys = SigningKeys(client, clock=clock)
        await keys.key("one")
        server.keys = [a_key("two")]
        assert await keys.key("two") is None
        clock.now += 10
        assert await keys.key("two") is not None
        assert await keys.key("one") is None


async def test_ids_that_somebody_makes_up_are_asked_for_at_a_bounded_rate(tmp_path: Path) -> None:
    server = Published(a_key("one"))
    async with scripted(server, tmp_path) as client:
        keys = SigningKeys(client, clock=Clock())
        assert [await keys.key(f"made up {number}") for number in range(20)] == [None] * 20
    assert server.asked == 1


async def test_while_nobody_answers_made_up_ids_are_refused_at_once_and_known_keys_stay(
    tmp_path: Path,
) -> None:
    server, clock = Published(a_key("one")), Clock()
    async with scripted(server, tmp_path) as client:
        keys = SigningKeys(client, clock=clock)
        await keys.key("one")
        server.away = True
        clock.now += 10
        answers = await asyncio.gather(
            *(keys.key(f"made up {number}") for number in range(20)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {KubeUnavailableError}
        assert server.asked == 2
        assert await keys.key("one") is not None
        server.away = False
        clock.now += 10
        assert await keys.key("two") is None


@pytest.mark.parametrize("document", [{"keys": "none"}, {"keys": []}, {"keys": [{"kty": "oct"}]}, {}])
async def test_keys_that_cannot_be_used_are_no_answer(tmp_path: Path, document: dict[str, Any]) -> None:
    server = Published()
    server.keys = document.get("keys", [])
    async with scripted(server, tmp_path) as client:
        with pytest.raises(KubeUnavailableError, match="no usable signing keys"):
            await SigningKeys(client, clock=Clock()).fetch()
