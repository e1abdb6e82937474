"""Which groups, versions and resources there are, in the legacy and in the aggregated form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.embedded.kubernetes.resources import Catalogue, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3+privatemaas",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


def wants_aggregated(accept: str) -> bool:
    """Whether a client prefers the aggregated form, in the only version that is served."""
    for media_range in accept.replace(" ", "").split(","):
        parameters = set(media_range.split(";")[1:])
        if parameters >= {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"}:
            return True
        if not parameters:
            return False
    return False


def versions() -> dict[str, Any]:
    """Return the versions of the core group (`/api`)."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(catalogue: Catalogue) -> dict[str, Any]:
    """Return the groups but the core one (`/apis`)."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, known) for name, known in catalogue.groups().items()],
    }


def group(catalogue: Catalogue, name: str) -> dict[str, Any] | None:
    """Return one group (`/apis/<group>`), or None."""
    known = catalogue.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, known)} if known else None


def resources(catalogue: Catalogue, group_name: str, version: str) -> dict[str, Any] | None:
    """Return the resources of one version of a group, or None."""
    served = _of(catalogue, group_name, version)
    if not served:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].group_version,
        "resources": [entry for each in served for entry in _resource(each)],
    }


def aggregated(catalogue: Catalogue, names: Iterable[str]) -> dict[str, Any]:
    """Return groups with everything in them, which saves clients a request for each version."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name} if name else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [_discovered(each) for each in _of(catalogue, name, version)],
                        "freshness": "Current",
                    }
                    for version in (catalogue.groups()[name] if name else ["v1"])
                ],
            }
            for name in names
        ],
    }


def _of(catalogue: Catalogue, group_name: str, version: str) -> list[Resource]:
    return [each for each in catalogue if each.group == group_name and each.version == version]


def _group(name: str, known: list[str]) -> dict[str, Any]:
    pairs = [{"groupVersion": f"{name}/{version}", "version": version} for version in known]
    return {"name": name, "versions": pairs, "preferredVersion": pairs[0]}


def _resource(each: Resource) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": each.plural,
        "singularName": each.kind.lower(),
        "namespaced": each.namespaced,
        "kind": each.kind,
        "verbs": list(each.verbs),
    }
    if each.short_names:
        entry["shortNames"] = list(each.short_names)
    return [
        entry,
        *(
            {
                "name": f"{each.plural}/{name}",
                "singularName": "",
                "namespaced": each.namespaced,
                **{
                    key: value for key, value in zip(("group", "version", "kind"), kind, strict=True) if value
                },
                "verbs": verbs,
            }
            for name, kind, verbs in _subresources(each)
        ),
    ]


def _discovered(each: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": each.plural,
        "responseKind": _kind(each.group, each.version, each.kind),
        "scope": "Namespaced" if each.namespaced else "Cluster",
        "singularResource": each.kind.lower(),
        "verbs": list(each.verbs),
    }
    if each.short_names:
        entry["shortNames"] = list(each.short_names)
    subresources = [
        {
            "subresource": name,
            "responseKind": _kind(kind[0] or each.group, kind[1] or each.version, kind[2]),
            "verbs": verbs,
        }
        for name, kind, verbs in _subresources(each)
    ]
    return {**entry, "subresources": subresources} if subresources else entry


def _kind(group_name: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group_name, "version": version, "kind": kind}


def _subresources(each: Resource) -> list[tuple[str, tuple[str, str, str], list[str]]]:
    """Name, kind (with its group and version, if they are not the resource's), and verbs."""
    found = [("status", ("", "", each.kind), ["get", "patch", "update"])] if each.status else []
    if "token" in each.subresources:
        found.append(("token", ("authentication.k8s.io", "v1", "TokenRequest"), ["create"]))
    return found
