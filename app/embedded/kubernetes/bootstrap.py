"""What every Kubernetes cluster has from its first moment: namespaces, default roles and their bindings.

The names and rules are those of k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy, as far as
this server has something to do with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from app.embedded.kubernetes.users import AUTHENTICATED, MASTERS, SERVICE_ACCOUNTS, UNAUTHENTICATED

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

_AUTHN, _AUTHZ = "authentication.k8s.io", "authorization.k8s.io"
_READ, _WRITE = ["get", "list", "watch"], ["create", "delete", "deletecollection", "patch", "update"]
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", *_HEALTH, "/openapi", "/openapi/*"]
_KEYS = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
         "/openid/v1/jwks/"]  # fmt: skip


def _on(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _at(paths: list[str]) -> dict[str, Any]:
    return {"nonResourceURLs": paths, "verbs": ["get"]}


_VIEW = [_on("", ["configmaps", "events", "namespaces", "serviceaccounts"], _READ)]
_EDIT = [
    *_VIEW,
    _on("", ["secrets"], _READ),
    _on("", ["serviceaccounts"], ["impersonate"]),
    _on("", ["configmaps", "events", "secrets", "serviceaccounts"], _WRITE),
    _on("", ["serviceaccounts/token"], ["create"]),
    _on("coordination.k8s.io", ["leases"], [*_READ, *_WRITE]),
]
_ADMIN = [
    *_EDIT,
    _on(_AUTHZ, ["localsubjectaccessreviews"], ["create"]),
    _on("rbac.authorization.k8s.io", ["rolebindings", "roles"], [*_READ, *_WRITE]),
]

_ROLES: dict[str, list[dict[str, Any]]] = {
    "admin": _ADMIN,
    "cluster-admin": [_on("*", ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "edit": _EDIT,
    "system:auth-delegator": [
        _on(_AUTHN, ["tokenreviews"], ["create"]),
        _on(_AUTHZ, ["subjectaccessreviews"], ["create"]),
    ],
    "system:basic-user": [
        _on(_AUTHZ, ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _on(_AUTHN, ["selfsubjectreviews"], ["create"]),
    ],
    "system:discovery": [_at(_DISCOVERY)],
    "system:public-info-viewer": [_at(_HEALTH)],
    "system:service-account-issuer-discovery": [_at(_KEYS)],
    "view": _VIEW,
}

_BINDINGS = {
    "cluster-admin": [MASTERS],
    "system:basic-user": [AUTHENTICATED],
    "system:discovery": [AUTHENTICATED],
    "system:public-info-viewer": [AUTHENTICATED, UNAUTHENTICATED],
    "system:service-account-issuer-discovery": [SERVICE_ACCOUNTS],
}


def manifests() -> Iterator[dict[str, Any]]:
    """Return the objects, in an order in which they can be created."""
    for name in NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    group = CLUSTER_ROLES.group
    for name, rules in _ROLES.items():
        yield {
            "apiVersion": CLUSTER_ROLES.group_version,
            "kind": CLUSTER_ROLES.kind,
            "metadata": {"name": name, "labels": labels},
            "rules": rules,
        }
    for name, groups in _BINDINGS.items():
        yield {
            "apiVersion": CLUSTER_ROLE_BINDINGS.group_version,
            "kind": CLUSTER_ROLE_BINDINGS.kind,
            "metadata": {"name": name, "labels": labels},
            "roleRef": {"apiGroup": group, "kind": CLUSTER_ROLES.kind, "name": name},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": each} for each in groups],
        }
