"""The real Authorino, deciding about the same requests with everything cached that it can cache.

Its best case: no question about the owner (the shipped policies ask the service, and cache nothing of that),
and answers kept for an hour, during which it would see no revocation. The shipped policies keep a TokenReview
for a minute.
"""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import yaml

from app.kube.resources import INFERENCE_SERVICES
from bench.envoy import grpc_cluster
from bench.platform import AUDIENCE
from tests.control_plane.binaries import BUILT, CRDS
from tests.e2e.kuadrant import engines
from tests.e2e.pod import why_no_pods
from tests.kustomize import MANIFESTS
from tests.loopback import free_port
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.platform import Cluster
    from bench.run import Bench

_PROGRAM = BUILT / "authorino"
_CRDS = CRDS / "github.com" / "kuadrant" / "authorino"
_CLUSTER = "authorino"
_CACHED_SECONDS = 3600
_PATH = "/apis/authorino.kuadrant.io/v1beta3/namespaces/{}/authconfigs/bench"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"


def why_not() -> str | None:
    """Why it cannot run here, or None if it can."""
    if not os.access(_PROGRAM, os.X_OK):
        return f"there is no {_PROGRAM.name}: run `make tools`"
    return why_no_pods()


def ext_authz() -> dict[str, Any]:
    """The Envoy filter that asks it, as Kuadrant's own does: by gRPC, without the body."""
    return {
        "@type": _TYPE,
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "clear_route_cache": True,
        # Until it has asked about a token once: it asks the API server five times a second only.
        "grpc_service": {"envoy_grpc": {"cluster_name": _CLUSTER}, "timeout": "20s"},
    }


def envoy_cluster(port: int) -> dict[str, Any]:
    """Where the filter finds it."""
    return grpc_cluster(_CLUSTER, port)


@asynccontextmanager
async def running(bench: Bench, cluster: Cluster, *, namespace: str, model: str) -> AsyncIterator[int]:
    """Authorino with one AuthConfig for every request, once it is in force; gives its port for gRPC."""
    bench.versions["authorino"] = _version()
    control_plane = cluster.control_plane
    await control_plane.install_crds([_CRDS])
    name = {"name": engines.NAMESPACE}
    await control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
    manifest = yaml.safe_load((MANIFESTS / "platform" / "kuadrant" / "authorino.yaml").read_text())
    await _allow_everybody(cluster, namespace, model)
    await control_plane.apply(_auth_config(namespace, model))
    directory = bench.directory / "authorino"
    directory.mkdir()
    port = free_port()
    async with engines.authorino(control_plane, _PROGRAM, directory, manifest, port):

        async def ready() -> bool:
            answer = await control_plane.client.get(_PATH.format(namespace))
            return bool(answer.json().get("status", {}).get("summary", {}).get("ready"))

        await eventually(ready, seconds=60)
        yield port


async def _allow_everybody(cluster: Cluster, namespace: str, model: str) -> None:
    """Let every ServiceAccount of the namespace call the model: it asks about them, not their owners."""
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    metadata = {"name": "authorino-bench", "namespace": namespace}
    rule = {
        "apiGroups": [INFERENCE_SERVICES.group],
        "resources": [INFERENCE_SERVICES.plural],
        "resourceNames": [model],
        "verbs": ["get"],
    }
    subject = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Group",
        "name": f"system:serviceaccounts:{namespace}",
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": metadata["name"]}
    await cluster.control_plane.apply({**rbac, "kind": "Role", "metadata": metadata, "rules": [rule]})
    await cluster.control_plane.apply(
        {**rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]}
    )


def _auth_config(namespace: str, model: str) -> dict[str, Any]:
    attributes = {
        "verb": "get",
        "group": INFERENCE_SERVICES.group,
        "resource": INFERENCE_SERVICES.plural,
        "namespace": namespace,
        "name": model,
    }
    return {
        "apiVersion": "authorino.kuadrant.io/v1beta3",
        "kind": "AuthConfig",
        "metadata": {"name": "bench", "namespace": namespace},
        "spec": {
            "hosts": ["*"],
            "authentication": {
                "maas-token": {
                    "credentials": {"authorizationHeader": {"prefix": "Bearer"}},
                    "kubernetesTokenReview": {"audiences": [AUDIENCE]},
                    "cache": {
                        "key": {"expression": "request.headers.authorization"},
                        "ttl": _CACHED_SECONDS,
                    },
                }
            },
            "authorization": {
                "may-call-the-model": {
                    "kubernetesSubjectAccessReview": {
                        "user": {"expression": "auth.identity.user.username"},
                        "authorizationGroups": {"expression": "auth.identity.user.groups"},
                        "resourceAttributes": {key: {"value": value} for key, value in attributes.items()},
                    },
                    "cache": {
                        "key": {"expression": "auth.identity.user.username"},
                        "ttl": _CACHED_SECONDS,
                    },
                }
            },
            "response": {
                "success": {
                    "headers": {
                        "x-maas-user": {"plain": {"expression": "auth.identity.user.username"}},
                        "x-maas-model": {"plain": {"value": model}},
                    }
                }
            },
        },
    }


def _version() -> str:
    built_from = (BUILT / "authorino.built-from").read_text()
    found = re.search(r"github\.com/kuadrant/authorino v(\S+)", built_from)
    return found.group(1) if found else "unknown"
