"""One test's own platform: a namespace with what `manifests/base` puts there, and a service in it."""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from app.kube.errors import KubeConflictError
from app.kube.resources import (
    CONFIG_MAPS,
    INFERENCE_SERVICES,
    SERVICE_ACCOUNTS,
    SUBJECT_ACCESS_REVIEWS,
    Resource,
)
from app.lifespan import running
from app.main import create_gateway_app, create_public_app
from app.serving import bind, serving
from app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from app.service import Service
    from tests.clusters import TestCluster

BASE = Path(__file__).parents[1] / "manifests" / "base"
NAMESPACES = Resource("v1", "namespaces")
ROLES = Resource("rbac.authorization.k8s.io/v1", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "rolebindings")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings")
_KINDS = {
    "Namespace": NAMESPACES,
    "ServiceAccount": SERVICE_ACCOUNTS,
    "ConfigMap": CONFIG_MAPS,
    "Role": ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "ClusterRole": CLUSTER_ROLES,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
}
_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
FREE, PREMIUM = "maas:tier:free", "maas:tier:premium"


async def eventually(condition: Callable[[], Any], *, seconds: float = 5.0) -> Any:
    """The first true value of `condition`, which may be a coroutine function; waits no longer than that."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "this did not come true in time"
        await asyncio.sleep(0.01)


@dataclass
class Workspace:
    """A namespace of its own in a cluster, with the shipped ServiceAccount, rules and mapping."""

    cluster: TestCluster
    namespace: str = field(default_factory=lambda: f"maas-{secrets.token_hex(4)}")
    tokens: list[str] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        return self.namespace.removeprefix("maas-")

    def role_name(self, kind: str, shipped: str = "maas-api") -> str:
        """What a manifest is named here: what belongs to the whole cluster is there for each workspace."""
        return f"{shipped}-{self.suffix}" if kind in _CLUSTER_WIDE else shipped

    async def open(self) -> None:
        for name in ("namespace", "service-account", "rbac", "tier-to-group-mapping"):
            for manifest in yaml.safe_load_all((BASE / f"{name}.yaml").read_text()):
                await self._create(self._moved(manifest))

    async def close(self) -> None:
        for token in self.tokens:
            await self.cluster.remove_user(token)
        admin = self.cluster.admin
        await admin.delete(CLUSTER_ROLE_BINDINGS, self.role_name("ClusterRoleBinding"))
        await admin.delete(CLUSTER_ROLES, self.role_name("ClusterRole"))
        for model in (await admin.list(INFERENCE_SERVICES, namespace=self.namespace)).get("items", []):
            await admin.delete(INFERENCE_SERVICES, model["metadata"]["name"], namespace=self.namespace)
        await admin.delete(NAMESPACES, self.namespace)

    async def person(
        self,
        username: str,
        *groups: str,
        extra: Mapping[str, Sequence[str]] | None = None,
        authenticated: bool = True,
    ) -> str:
        """A user's caller token."""
        token = f"sha256~{secrets.token_hex(8)}"
        everyone = ("system:authenticated",) if authenticated else ()
        await self.cluster.add_user(token, username, (*groups, *everyone), extra or {})
        self.tokens.append(token)
        return token

    async def service_kubeconfig(self) -> Path:
        """A kubeconfig with the token of the shipped ServiceAccount."""
        answer = await self.cluster.admin.create(
            SERVICE_ACCOUNTS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": 3600},
            },
            namespace=self.namespace,
            name="maas-api",
            subresource="token",
        )
        return self.cluster.kubeconfig(answer["status"]["token"])

    async def map_tiers(self, mapping: str, *, key: str = "mapping.yaml") -> None:
        other = {"mapping.yaml": None, "tiers": None}
        await self.cluster.admin.merge_patch(
            CONFIG_MAPS, "tier-to-group-mapping", {"data": {**other, key: mapping}}, namespace=self.namespace
        )

    async def set_prices(self, pricing: str) -> None:
        """Put prices in place of those that are there, if any are."""
        admin, name, data = self.cluster.admin, "maas-pricing", {"pricing.yaml": pricing}
        metadata = {"name": name, "namespace": self.namespace}
        try:
            await self._create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        except KubeConflictError:
            await admin.merge_patch(CONFIG_MAPS, name, {"data": data}, namespace=self.namespace)

    async def model(self, name: str, *groups: str, resource: Resource = INFERENCE_SERVICES) -> str:
        """A model in this namespace that members of `groups` may call; returns its id."""
        model_id = f"{name}-{self.suffix}"
        kind = "InferenceService" if resource is INFERENCE_SERVICES else "LLMInferenceService"
        spec: dict[str, Any] = (
            {"predictor": {"model": {"modelFormat": {"name": "simulator"}}}}
            if resource is INFERENCE_SERVICES
            else {"model": {"uri": "hf://simulator"}}
        )
        await self.cluster.admin.create(
            resource,
            {
                "apiVersion": resource.api_version,
                "kind": kind,
                "metadata": {"name": model_id, "namespace": self.namespace},
                "spec": spec,
            },
            namespace=self.namespace,
        )
        await self.allow(model_id, resource, *groups)
        return model_id

    async def allow(self, model_id: str, resource: Resource, *groups: str) -> None:
        rule = {
            "apiGroups": [resource.group],
            "resources": [resource.plural],
            "resourceNames": [model_id],
            "verbs": ["get"],
        }
        metadata = {"name": model_id, "namespace": self.namespace}
        rbac = ROLES.api_version
        await self._create({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": [rule]})
        await self._create(
            {
                "apiVersion": rbac,
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": model_id},
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
                    for group in groups
                ],
            }
        )
        for group in groups:
            await self._granted(model_id, resource, group)

    async def _granted(self, model_id: str, resource: Resource, group: str) -> None:
        """Wait until the grant counts: the API server reads RBAC objects through a watch of its own."""
        attributes = {
            "verb": "get",
            "group": resource.group,
            "resource": resource.plural,
            "namespace": self.namespace,
            "name": model_id,
        }
        review = {
            "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": "SubjectAccessReview",
            "spec": {"user": "nobody", "groups": [group], "resourceAttributes": attributes},
        }

        async def allowed() -> bool:
            answer = await self.cluster.admin.review(SUBJECT_ACCESS_REVIEWS, review)
            return bool(answer["status"]["allowed"])

        await eventually(allowed)

    async def service_accounts(self) -> list[dict[str, Any]]:
        """The ServiceAccounts of tokens, as the cluster has them."""
        query = {"labelSelector": "app.kubernetes.io/managed-by=maas-api"}
        page = await self.cluster.admin.list(SERVICE_ACCOUNTS, namespace=self.namespace, query=query)
        items: list[dict[str, Any]] = page["items"]
        return items

    async def _create(self, manifest: dict[str, Any]) -> None:
        kind = manifest["kind"]
        namespace = None if kind in _CLUSTER_WIDE else self.namespace
        await self.cluster.admin.create(_KINDS[kind], manifest, namespace=namespace)

    def _moved(self, manifest: dict[str, Any]) -> dict[str, Any]:
        manifest = copy.deepcopy(manifest)
        metadata = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            metadata["name"] = self.namespace
        else:
            metadata["name"] = self.role_name(manifest["kind"], metadata["name"])
        if manifest["kind"] == "ClusterRoleBinding":
            manifest["roleRef"]["name"] = self.role_name("ClusterRole")
        if manifest["kind"] not in _CLUSTER_WIDE:
            metadata["namespace"] = self.namespace
        for subject in manifest.get("subjects", ()):
            subject["namespace"] = self.namespace
        return manifest


class Caller:
    """Someone with one caller token, in front of the public app."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self.token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    async def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {**self._headers, **kwargs.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **kwargs)

    async def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return await self.request("GET", path, **kwargs)

    async def delete(self, path: str) -> httpx.Response:
        return await self.request("DELETE", path)

    async def issue(self, **body: Any) -> httpx.Response:
        return await self.request("POST", "/maas-api/token", json=body)

    async def issued(self, **body: Any) -> dict[str, Any]:
        response = await self.issue(**body)
        assert response.status_code == 201, response.text
        document: dict[str, Any] = response.json()
        return document

    async def listed(self) -> list[dict[str, Any]]:
        response = await self.get("/maas-api/tokens?limit=500")
        assert response.status_code == 200, response.text
        tokens: list[dict[str, Any]] = response.json()["tokens"]
        return tokens


@dataclass
class Replica:
    """One running service of a workspace, reached over real HTTP."""

    workspace: Workspace
    service: Service
    public: httpx.AsyncClient
    gateway: httpx.AsyncClient

    async def caller(self, username: str, *groups: str, **kwargs: Any) -> Caller:
        return Caller(self.public, await self.workspace.person(username, *groups, **kwargs))

    async def authorize(
        self, token: str, model: str | None = None, *, path: str = "/v1/chat/completions", **kwargs: Any
    ) -> httpx.Response:
        """What the gateway app answers Envoy about an inference request."""
        headers = {"Authorization": f"Bearer {token}", **kwargs.pop("headers", {})}
        method = kwargs.pop("method", "POST")
        if model is not None:
            kwargs["json"] = {"model": model, "messages": []}
        return await self.gateway.request(method, f"/internal/authorize{path}", headers=headers, **kwargs)

    async def known(self, *model_ids: str) -> None:
        """Wait until the replica has seen these models."""
        await eventually(lambda: all(self.service.catalogue.get(model) for model in model_ids))


@asynccontextmanager
async def replica(
    workspace: Workspace,
    *,
    synced: bool = True,
    through: Callable[[Path], Path | None] | None = None,
    **settings: Any,
) -> AsyncIterator[Replica]:
    """Run a service in a workspace, as the ServiceAccount that is shipped.

    Args:
        workspace: where.
        synced: whether it is to be ready.
        through: makes another kubeconfig of the one that leads straight to the cluster; None is for a pod.
        settings: groups of settings.
    """
    direct = await workspace.service_kubeconfig()
    kubeconfig = through(direct) if through else direct
    chosen = Settings(
        namespace=workspace.namespace, kubeconfig=str(kubeconfig) if kubeconfig else None, **settings
    )
    public, gateway = bind("public", "127.0.0.1", 0), bind("gateway", "127.0.0.1", 0)
    async with (
        running(chosen) as service,
        serving(
            (create_public_app(service), public), (create_gateway_app(service), gateway), shutdown_seconds=2
        ),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{public.port}", timeout=30) as public_client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30) as gateway_client,
    ):
        if synced:
            async with asyncio.timeout(10):
                for reflector in service.reflectors:
                    await reflector.wait_synced()
        yield Replica(workspace, service, public_client, gateway_client)
