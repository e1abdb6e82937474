"""What the shipped rules permit, one verb of one resource at a time, and taking one of these away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from app.kube.resources import SUBJECT_ACCESS_REVIEWS
from tests.kustomize import MANIFESTS, rendered
from tests.workspace import CLUSTER_ROLES, ROLES, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.workspace import Workspace

Rule = dict[str, list[str]]


@dataclass(frozen=True)
class Permission:
    """To do one thing with one resource."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""
    """The one object that it is about; empty for all."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.resource, self.name)))

    def within(self, rule: Rule) -> bool:
        return (
            self.group in rule["apiGroups"]
            and self.resource in rule["resources"]
            and self.verb in rule["verbs"]
            and self.name in rule.get("resourceNames", [""])
        )


def permissions(rule: Rule) -> list[Permission]:
    """Everything that a rule permits."""
    return [
        Permission(verb, resource, group, name)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]


def shipped_rules(*kinds: str) -> list[Rule]:
    """Those of the shipped roles of these kinds."""
    return [
        rule
        for document in rendered(MANIFESTS / "base")
        if document["kind"] in kinds
        for rule in document["rules"]
    ]


def without(rules: Iterable[Rule], permission: Permission) -> list[Rule]:
    """The same rules, except that they do not permit this."""
    return [
        part for rule in rules for part in _split(rule, permission) if part["verbs"] and part["resources"]
    ]


def _split(rule: Rule, permission: Permission) -> list[Rule]:
    if not permission.within(rule):
        return [rule]
    others = [resource for resource in rule["resources"] if resource != permission.resource]
    verbs = [verb for verb in rule["verbs"] if verb != permission.verb]
    return [{**rule, "resources": others}, {**rule, "resources": [permission.resource], "verbs": verbs}]


async def take_away(workspace: Workspace, permission: Permission) -> None:
    """Take it from the service of `workspace`; returns when it counts, and everything else still does."""
    for kind, resource, namespace in (
        ("Role", ROLES, workspace.namespace),
        ("ClusterRole", CLUSTER_ROLES, None),
    ):
        await workspace.cluster.admin.merge_patch(
            resource,
            workspace.role_name(kind),
            {"rules": without(shipped_rules(kind), permission)},
            namespace=namespace,
        )
    await settled(workspace, permission)


async def settled(workspace: Workspace, missing: Permission | None = None) -> None:
    """Wait until the API server, which reads rules through a watch of its own, knows those of `workspace`."""
    for rule in shipped_rules("Role", "ClusterRole"):
        for permission in permissions(rule):
            asked = partial(_allowed, workspace, permission, expected=permission != missing)
            await eventually(asked)


async def _allowed(workspace: Workspace, permission: Permission, *, expected: bool) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes: dict[str, Any] = {
        "namespace": workspace.namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "name": permission.name,
    }
    user = f"system:serviceaccount:{workspace.namespace}:maas-api"
    review = {
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = await workspace.cluster.admin.review(SUBJECT_ACCESS_REVIEWS, review)
    return bool(answer["status"]["allowed"]) is expected
