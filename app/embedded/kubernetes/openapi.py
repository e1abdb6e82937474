"""As much OpenAPI as kubectl needs.

kubectl looks here whether the server checks fields itself (`fieldValidation`) and runs dry (`dryRun`) before
it applies, edits or patches, and how lists are merged. Schemas are open: any field is fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.embedded.kubernetes.resources import Catalogue, Resource

_METHODS = {"get": "get", "post": "create", "put": "update", "patch": "patch", "delete": "delete"}


def index(catalogue: Catalogue) -> dict[str, Any]:
    """Return where the document of every group version is (`/openapi/v3`)."""
    names = dict.fromkeys(_path(each) for each in catalogue)
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


def v3(catalogue: Catalogue, name: str) -> dict[str, Any] | None:
    """Return the OpenAPI 3 document of one group version (`api/v1`, `apis/group/version`), or None."""
    served = [each for each in catalogue if _path(each) == name]
    if not served:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": _paths(served, {"application/json": {"schema": {"type": "object"}}}),
        "components": {"schemas": {_schema_name(each): _schema(each) for each in served}},
    }


def v2(catalogue: Catalogue) -> dict[str, Any]:
    """Return the Swagger 2 document of everything (`/openapi/v2`)."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": _paths(catalogue, None),
        "definitions": {_schema_name(each): _schema(each) for each in catalogue},
    }


def _path(each: Resource) -> str:
    return f"apis/{each.group_version}" if each.group else f"api/{each.version}"


def _schema_name(each: Resource) -> str:
    group = ".".join(reversed(each.group.split("."))) if each.group else "io.k8s.api.core"
    return f"{group}.{each.version}.{each.kind}"


def _group_version_kind(each: Resource) -> dict[str, str]:
    return {"group": each.group, "version": each.version, "kind": each.kind}


def _schema(each: Resource) -> dict[str, Any]:
    return {
        "type": "object",
        "x-kubernetes-group-version-kind": [_group_version_kind(each)],
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }


def _paths(served: Iterable[Resource], content: dict[str, Any] | None) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in served:
        scope = "namespaces/{namespace}/" if each.namespaced else ""
        collection = f"/{_path(each)}/{scope}{each.plural}"
        operation = {
            "x-kubernetes-group-version-kind": _group_version_kind(each),
            "responses": {"200": {"description": "OK", **({"content": content} if content else {})}},
        }
        paths[collection] = {
            "post": {**operation, "parameters": _parameters(content, "dryRun", "fieldValidation")}
        }
        if each.stored:
            paths[f"{collection}/{{name}}"] = {
                method: {
                    **operation,
                    "x-kubernetes-action": verb,
                    "parameters": _parameters(content, "dryRun", "fieldManager", "fieldValidation", "force"),
                }
                for method, verb in _METHODS.items()
                if method != "post"
            }
    return paths


def _parameters(content: dict[str, Any] | None, *names: str) -> list[dict[str, Any]]:
    kind: dict[str, Any] = {"type": "string"}
    typed = {"schema": kind} if content else kind
    return [{"name": name, "in": "query", **typed} for name in names]
