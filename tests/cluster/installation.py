"""A platform as it looks once every controller is content: the shipped manifests, each with its status.

There are no controllers here, so what they would report is written into the status; a test changes it to what
they report when something is wrong.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import re
import secrets
from typing import TYPE_CHECKING, Any

import trustme

from tests.control_plane import CRDS
from tests.kustomize import MANIFESTS, rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.control_plane import ControlPlane

CONTROLLER = "example.com/controller"
MODEL = "simulator"
_AUTHORINO = MANIFESTS / "platform" / "kuadrant" / "authorino.yaml"
_MODEL = MANIFESTS / "models" / "simulator"
_CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "GatewayClass", "Namespace")
_LEFT_OUT = ("Certificate", "Issuer", "PodDisruptionBudget", "EnvoyFilter")
KUADRANT = ("AuthPolicy", "RateLimitPolicy", "TokenRateLimitPolicy", "TelemetryPolicy")
ENVOY_GATEWAY = (
    "SecurityPolicy",
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
    "EnvoyExtensionPolicy",
    "EnvoyPatchPolicy",
)
_SINCE = "2026-01-01T00:00:00Z"


def definitions() -> list[Path]:
    """The CRD files of the kinds that such a platform has."""
    kinds = {
        "Gateway",
        "GatewayClass",
        "HTTPRoute",
        "InferenceService",
        "LLMInferenceService",
        "Authorino",
        "Route",
        "EnvoyProxy",
        *KUADRANT,
        *ENVOY_GATEWAY,
    }
    return [
        path
        for path in sorted(CRDS.rglob("*.yaml"))
        if kinds.intersection(re.findall(r"^    kind: (\w+)$", path.read_text(), re.MULTILINE))
    ]


class Installation:
    """The platform in a namespace of its own.

    Attributes:
        namespace: the platform's.
        models: that of its model.
    """

    def __init__(self, control_plane: ControlPlane, overlay: str) -> None:
        suffix = secrets.token_hex(4)
        self._control_plane = control_plane
        self._suffix = suffix
        self.namespace = f"maas-{suffix}"
        self.models = f"models-{suffix}"
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        folders = (MANIFESTS / "overlays" / overlay, _MODEL)
        for manifest in (document for folder in folders for document in rendered(folder)):
            if manifest["kind"] not in _LEFT_OUT:
                moved = self._moved(manifest)
                self._objects[manifest["kind"], manifest["metadata"]["name"]] = moved
        for manifest in self._made():
            self._objects[manifest["kind"], manifest["metadata"]["name"]] = manifest
        for manifest in self._objects.values():
            if (status := _status(manifest, self.namespace)) is not None:
                manifest["status"] = status

    async def open(self) -> None:
        order = ("Namespace", "ServiceAccount")
        for manifest in sorted(self._objects.values(), key=lambda each: each["kind"] not in order):
            await self._control_plane.apply(manifest)

    async def close(self) -> None:
        """Take away what other installations would see."""
        for kind in ("InferenceService", "HTTPRoute"):
            await self.remove(kind, MODEL)

    def manifest(self, kind: str, name: str) -> dict[str, Any]:
        """An object, to be changed before it is applied."""
        return self._objects[kind, name]

    async def change(self, kind: str, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change an object, its status too, in place."""
        manifest = self._objects[kind, name]
        change(manifest)
        await self._control_plane.apply(manifest)

    async def remove(self, kind: str, name: str) -> None:
        manifest = self._objects.pop((kind, name))
        await self._control_plane.delete(manifest)

    def has(self, kind: str) -> bool:
        return any(known == kind for known, _ in self._objects)

    async def service_token(self) -> str:
        return await self._control_plane.service_account_token(self.namespace, "maas-api")

    def _made(self) -> Iterator[dict[str, Any]]:
        template = self._objects["Deployment", "maas-api"]["spec"]["template"]
        for number in range(2):
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"maas-api-{number}",
                    "namespace": self.namespace,
                    "labels": template["metadata"]["labels"],
                },
                "spec": template["spec"],
            }
        certificate = trustme.CA().issue_cert("localhost")
        chain, key = certificate.cert_chain_pems[0].bytes(), certificate.private_key_pem.bytes()
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "maas-gateway-tls", "namespace": self.namespace},
            "type": "kubernetes.io/tls",
            "data": {
                "tls.crt": base64.b64encode(chain).decode(),
                "tls.key": base64.b64encode(key).decode(),
            },
        }
        if ("AuthPolicy", "maas-inference") in self._objects:
            (authorino,) = (
                document for document in rendered(_AUTHORINO.parent) if document["kind"] == "Authorino"
            )
            yield self._moved({**authorino, "metadata": {"name": "authorino", "namespace": "maas"}})

    def _moved(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The manifest with its namespaces, and what the whole cluster sees, under names of this platform."""
        namespaces = {"maas": self.namespace, "sample-models": self.models}
        manifest = _renamed(copy.deepcopy(manifest), namespaces)
        metadata = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            metadata["name"] = namespaces[metadata["name"]]
        elif manifest["kind"] in ("ClusterRoleBinding", "GatewayClass"):
            metadata["name"] += f"-{self._suffix}"
        if manifest["kind"] == "Gateway":
            manifest["spec"]["gatewayClassName"] += f"-{self._suffix}"
        return manifest


def _renamed(value: Any, namespaces: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(entry, namespaces) for entry in value]
    if isinstance(value, dict):
        return {
            key: namespaces.get(entry, entry)
            if key == "namespace" and isinstance(entry, str)
            else _renamed(entry, namespaces)
            for key, entry in value.items()
        }
    return value


def condition(kind: str, status: str = "True", reason: str = "Fine", message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _SINCE,
    }


def conditions(*kinds: str) -> list[dict[str, Any]]:
    return [condition(kind) for kind in kinds]


def _status(manifest: dict[str, Any], namespace: str) -> dict[str, Any] | None:
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "maas-default-gateway"}
    gateway["namespace"] = namespace
    kind = manifest["kind"]
    if kind in KUADRANT:
        return {"conditions": conditions("Accepted", "Enforced")}
    if kind in ENVOY_GATEWAY:
        found = conditions("Accepted", "Programmed") if kind == "EnvoyPatchPolicy" else conditions("Accepted")
        return {"ancestors": [{"ancestorRef": gateway, "controllerName": CONTROLLER, "conditions": found}]}
    if kind == "HTTPRoute":
        found = conditions("Accepted", "ResolvedRefs")
        return {"parents": [{"parentRef": gateway, "controllerName": CONTROLLER, "conditions": found}]}
    known: dict[str, dict[str, Any]] = {
        "GatewayClass": {"conditions": conditions("Accepted")},
        "Gateway": {
            "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
            "conditions": conditions("Accepted", "Programmed"),
            "listeners": [
                {
                    "name": "https",
                    "attachedRoutes": 4,
                    "supportedKinds": [{"kind": "HTTPRoute"}],
                    "conditions": conditions("Accepted", "Programmed", "ResolvedRefs"),
                }
            ],
        },
        "Deployment": {
            "replicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
            "updatedReplicas": 2,
            "conditions": conditions("Available"),
        },
        "Pod": {"phase": "Running", "conditions": conditions("Ready")},
        "InferenceService": {"conditions": conditions("Ready")},
    }
    return known.get(kind)


def certificate_that_ends_in(time: dt.timedelta) -> str:
    """A certificate, as a Secret holds it."""
    made = trustme.CA().issue_cert("localhost", not_after=dt.datetime.now(dt.UTC) + time)
    return base64.b64encode(made.cert_chain_pems[0].bytes()).decode()
