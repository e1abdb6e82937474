"""Two replicas of one workspace, one of them behind a fault proxy, and what people see of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.workspace import Caller, Replica, Workspace, eventually

if TYPE_CHECKING:
    import httpx

    from tests.cluster.faults.proxy import FaultProxy

# How long a call to the Kubernetes API may take here, and what this machine may add to that.
REQUEST_SECONDS, MARGIN_SECONDS = 2.0, 4.0
KUBE = {"request_seconds": REQUEST_SECONDS, "watch_seconds": 2}


@dataclass
class Pair:
    """A replica whose API server is behind a proxy, and one that reaches it directly."""

    workspace: Workspace
    proxy: FaultProxy
    behind: Replica
    direct: Replica

    async def ids(self) -> set[str]:
        return {item["metadata"]["name"] for item in await self.workspace.service_accounts()}

    async def holds(self, *tokens: dict[str, Any]) -> None:
        """Wait until the cluster has the ServiceAccounts of these tokens and of no others."""
        wanted = {token["id"] for token in tokens}

        async def so() -> bool:
            return await self.ids() == wanted

        await eventually(so, seconds=30)

    def elsewhere(self, caller: Caller) -> Caller:
        """The same person, at the replica that is not disturbed."""
        return Caller(self.direct.public, caller.token)


async def decision(maas: Replica, token: str) -> str:
    """The tier by which a replica decides about a token, or the code of its refusal."""
    response = await maas.authorize(token, method="GET", path="/v1/models")
    return response.headers.get("x-maas-tier") or str(response.json()["error"]["code"])


async def decides(maas: Replica, token: str, expected: str, *, seconds: float = 30) -> None:
    async def so() -> bool:
        return await decision(maas, token) == expected

    await eventually(so, seconds=seconds)


async def readiness(maas: Replica) -> set[tuple[int, str]]:
    """Status of both apps' readiness, in HTTP and in words."""
    answers = [await maas.public.get("/maas-api/readyz"), await maas.gateway.get("/readyz")]
    return {(answer.status_code, answer.json()["status"]) for answer in answers}


async def becomes(maas: Replica, status: str) -> None:
    async def so() -> bool:
        return await readiness(maas) == {(200, status)}

    await eventually(so, seconds=30)


async def issues(caller: Caller) -> dict[str, Any]:
    """A token, as soon as one is issued again."""

    async def issued() -> dict[str, Any] | None:
        response = await caller.issue()
        assert response.status_code in (201, 503), response.text
        document: dict[str, Any] = response.json()
        return document if response.status_code == 201 else None

    token: dict[str, Any] = await eventually(issued, seconds=30)
    return token


def refused(response: httpx.Response, *, retry_after: int = 5) -> None:
    assert response.status_code == 503, response.text
    body = response.json()
    assert (body.get("code") or body["error"]["code"]) == "upstream_unavailable"
    assert int(response.headers["retry-after"]) == retry_after
