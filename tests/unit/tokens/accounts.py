"""ServiceAccounts of tokens on an API server that a test holds up, or has refuse what it likes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from app.tokens.record import read, service_account
from tests.unit.kube.scripted_api_server import json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from app.tokens.record import MaasToken


class Accounts:
    """Changes and deletes what it has, with preconditions as a real one does.

    Attributes:
        metadata: by name.
        writes: the names that were to be changed or deleted, in that order.
        statuses: what is answered instead, by name.
        arrived: set whenever something is to be written.
        open: nothing is answered while this is not set.
    """

    def __init__(self) -> None:
        self.metadata: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.statuses: dict[str, int] = {}
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self._version = 100

    def add(
        self,
        name: str,
        owner: str = "alice",
        *,
        groups: tuple[str, ...] = (),
        expires_at: int = 2_000_000_000,
    ) -> MaasToken:
        account = service_account(
            token_id=name,
            namespace="maas",
            owner=owner,
            groups=groups,
            cluster_groups=(),
            tier="free",
            name="",
            expires_at=expires_at,
            issue=f"issue-{name}",
        )
        created = {"uid": f"uid-{name}", "creationTimestamp": "2026-11-23T20:00:00Z"}
        self.metadata[name] = account["metadata"] | created | {"resourceVersion": self._next()}
        return self.token(name)

    def token(self, name: str) -> MaasToken:
        return read({"metadata": self.metadata[name]})

    def change(self, name: str, **labels: str) -> MaasToken:
        """Somebody else changes it."""
        self.metadata[name]["labels"] |= labels
        self.metadata[name]["resourceVersion"] = self._next()
        return self.token(name)

    async def answer(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        body = orjson.loads(await request.body() or b"{}")
        if request.method != "GET":
            self.writes.append(name)
            self.arrived.set()
            await self.open.wait()
        if status := self.statuses.get(name):
            return json({"message": "as told"}, status)
        if (known := self.metadata.get(name)) is None:
            return json({"reason": "NotFound"}, 404)
        if request.method == "DELETE":
            del self.metadata[name]
        elif request.method == "PATCH":
            if body["metadata"].pop("resourceVersion") != known["resourceVersion"]:
                return json({"reason": "Conflict"}, 409)
            for key in ("labels", "annotations"):
                merged = known[key] | body["metadata"].get(key, {})
                known[key] = {name: text for name, text in merged.items() if text is not None}
            known["resourceVersion"] = self._next()
        return json({"metadata": known})

    def _next(self) -> str:
        self._version += 1
        return str(self._version)
