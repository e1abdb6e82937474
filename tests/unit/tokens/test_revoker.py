"""Revoking when the API server is difficult."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from app.kube.errors import KubeError
from app.tokens.errors import RevocationIncompleteError
from app.tokens.inventory import Inventory
from app.tokens.revoker import Revoker
from tests.unit.kube.scripted_api_server import json, scripted
from tests.unit.tokens.test_inventory import token

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


class Deletions:
    """Answers each name with the status that is set for it, and remembers the preconditions."""

    def __init__(self, **statuses: int) -> None:
        self.statuses = {name.replace("_", "-"): status for name, status in statuses.items()}
        self.uids: dict[str, str] = {}

    async def answer(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        self.uids[name] = orjson.loads(await request.body())["preconditions"]["uid"]
        return json({"message": "as told"}, self.statuses.get(name, 200))


@pytest.mark.parametrize("status", [200, 404, 409])
async def test_a_token_is_revoked_when_its_service_account_is_gone_or_another(
    tmp_path: Path, status: int
) -> None:
    inventory, revoked = Inventory(clock=lambda: 0.0), token()
    inventory.put(revoked)
    server = Deletions(alice_sa_1=status)
    async with scripted(server, tmp_path) as client:
        await Revoker(client, inventory, namespace="maas", clock=lambda: 0.0).revoke(revoked)
    assert server.uids == {revoked.id: revoked.uid}
    assert inventory.by_uid(revoked.uid) is None


async def test_a_token_that_could_not_be_deleted_is_as_live_as_before(tmp_path: Path) -> None:
    inventory, kept = Inventory(clock=lambda: 0.0), token()
    inventory.put(kept)
    async with scripted(Deletions(alice_sa_1=500), tmp_path) as client:
        with pytest.raises(KubeError):
            await Revoker(client, inventory, namespace="maas", clock=lambda: 0.0).revoke(kept)
    assert inventory.by_uid(kept.uid) == kept


async def test_a_bulk_revocation_that_is_interrupted_says_how_far_it_came_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    inventory = Inventory(clock=lambda: 0.0)
    tokens = [token(number) for number in range(40)]
    inventory.replace(tokens, 10)
    server = Deletions(alice_sa_3=500, alice_sa_30=403)
    told: list[str] = []
    async with scripted(server, tmp_path) as client:
        revoker = Revoker(client, inventory, namespace="maas", clock=lambda: 0.0)
        with pytest.raises(RevocationIncompleteError) as interrupted:
            await revoker.revoke_all(tokens, on_revoked=lambda item: told.append(item.id))
        assert (interrupted.value.revoked, interrupted.value.remaining) == (38, 2)
        assert len(told) == 38
        server.statuses = {}
        again = inventory.of_owner("alice")
        assert await revoker.revoke_all(again, on_revoked=lambda item: told.append(item.id)) == 2
    assert sorted(told) == sorted(item.id for item in tokens)


async def test_revoking_nothing_is_fine(tmp_path: Path) -> None:
    async with scripted(Deletions(), tmp_path) as client:
        revoker = Revoker(client, Inventory(clock=lambda: 0.0), namespace="maas", clock=lambda: 0.0)
        assert await revoker.revoke_all([], on_revoked=lambda _: None) == 0
