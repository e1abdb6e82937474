"""Finding tokens that the inventory does not hold yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tokens.inventory import Inventory
from app.tokens.lookup import Lookup
from app.tokens.names import owner_label
from tests.unit.kube.scripted_api_server import json, scripted
from tests.unit.tokens.test_record import an_account

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


class Pages:
    """A list of three ServiceAccounts in two pages; one of them was tampered with."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append(dict(request.query_params))
        if "continue" in request.query_params:
            items, metadata = [an_account(name="alice-sa-3", uid="u-3")], {}
        else:
            tampered = an_account(name="alice-sa-2", uid="u-2", annotations={})
            items, metadata = [an_account(name="alice-sa-1", uid="u-1"), tampered], {"continue": "next"}
        return json({"metadata": metadata, "items": items})


async def test_all_tokens_of_an_owner_are_those_of_every_page_and_those_in_view(tmp_path: Path) -> None:
    server, inventory = Pages(), Inventory(clock=lambda: 0.0)
    async with scripted(server, tmp_path) as client:
        found = await Lookup(client, inventory, namespace="maas").of_owner("alice")
    assert [token.id for token in found] == ["alice-sa-1", "alice-sa-3"]
    selector = f"app.kubernetes.io/managed-by=maas-api,maas.opendatahub.io/owner={owner_label('alice')}"
    assert {query["labelSelector"] for query in server.asked} == {selector}
    assert [query.get("continue") for query in server.asked] == [None, "next"]


async def test_a_token_that_was_revoked_here_is_not_found_again(tmp_path: Path) -> None:
    inventory = Inventory(clock=lambda: 0.0)
    async with scripted(Pages(), tmp_path) as client:
        lookup = Lookup(client, inventory, namespace="maas")
        first, *_ = await lookup.of_owner("alice")
        inventory.revoke(first)
        assert [token.id for token in await lookup.of_owner("alice")] == ["alice-sa-3"]
