"""What the tests say to the API server, in as few words as possible."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

MAAS = "/api/v1/namespaces/maas"
CONFIG_MAPS = f"{MAAS}/configmaps"
SECRETS = f"{MAAS}/secrets"
SERVICE_ACCOUNTS = f"{MAAS}/serviceaccounts"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/maas/leases"
GROUPS = "/apis/user.openshift.io/v1/groups"
MODELS = "/apis/serving.kserve.io/v1beta1/namespaces/maas/inferenceservices"

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class API:
    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.client = client
        self._token = token

    def acting(self, token: str) -> API:
        return API(self.client, token)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        type: str = "application/json",  # noqa: A002 - the word of HTTP
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = {"content-type": type} if body is not None else {}
        if self._token:
            sent["authorization"] = f"Bearer {self._token}"
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        return await self.client.request(
            method, path, content=content, headers={**sent, **(headers or {})}, params=params or None
        )

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self.call("GET", path, params=params)

    async def show(self, path: str, accept: str, **params: str) -> httpx.Response:
        """Get something in a form of one's choice."""
        return await self.call("GET", path, headers={"accept": accept}, params=params)

    async def post(self, path: str, body: Any, **params: str) -> httpx.Response:
        return await self.call("POST", path, body, params=params)

    async def put(self, path: str, body: Any, **params: str) -> httpx.Response:
        return await self.call("PUT", path, body, params=params)

    async def patch(self, path: str, body: Any, *, type: str = MERGE, **params: str) -> httpx.Response:  # noqa: A002
        return await self.call("PATCH", path, body, type=type, params=params)

    async def delete(self, path: str, body: Any = None, **params: str) -> httpx.Response:
        return await self.call("DELETE", path, body, params=params)

    async def create(self, path: str, body: Any) -> Any:
        """Create an object and return it; the test fails if that is refused."""
        answer = await self.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()


def config_map(name: str = "settings", data: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"mode": "a"} if data is None else data,
    }


def service_account(name: str = "one", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, **metadata}}


def model(name: str = "qwen3", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"minReplicas": 1}},
        **fields,
    }


def names(answer: httpx.Response) -> list[str]:
    """The names in a list."""
    assert answer.status_code == 200, answer.text
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def failure(answer: httpx.Response) -> tuple[int, str, str]:
    """Code, reason and message of a Status object."""
    status = answer.json()
    assert status["kind"] == "Status"
    assert status["status"] == "Failure"
    assert status["code"] == answer.status_code
    return status["code"], status.get("reason", ""), status["message"]
