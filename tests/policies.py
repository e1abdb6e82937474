"""The shipped policies with the limits of tiers, installed in a workspace."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from app.kube.resources import (
    BACKEND_TRAFFIC_POLICIES,
    RATE_LIMIT_POLICIES,
    TOKEN_RATE_LIMIT_POLICIES,
    Resource,
)
from tests.kustomize import MANIFESTS
from tests.workspace import ROLE_BINDINGS, ROLES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workspace import Workspace

_FILES = {
    "kuadrant": ("policies/kuadrant/limits.yaml", "policies/kuadrant/rbac.yaml"),
    "envoy-gateway": ("policies/envoy-gateway/limits.yaml", "policies/envoy-gateway/rbac.yaml"),
    "global-limits": ("components/global-limits/inference.yaml", "components/global-limits/models.yaml"),
    "token-limits": ("components/token-limits/limits.yaml",),
}
_RESOURCES = {
    "RateLimitPolicy": RATE_LIMIT_POLICIES,
    "TokenRateLimitPolicy": TOKEN_RATE_LIMIT_POLICIES,
    "BackendTrafficPolicy": BACKEND_TRAFFIC_POLICIES,
    "Role": ROLES,
    "RoleBinding": ROLE_BINDINGS,
}
OTHERS = ""
"""Stands for the tiers that a policy does not name."""


@cache
def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@dataclass(frozen=True)
class Policies:
    """What is installed of a profile in a workspace."""

    workspace: Workspace
    part: str

    def documents(self) -> list[dict[str, Any]]:
        """The shipped documents, for the namespace of the workspace."""
        documents = copy.deepcopy(
            [each for file in _FILES[self.part] for each in _documents(MANIFESTS / file)]
        )
        if self.part == "global-limits":
            documents = _counting_globally(Policies(self.workspace, "envoy-gateway").documents(), documents)
        for document in documents:
            document["metadata"]["namespace"] = self.workspace.namespace
            for subject in document.get("subjects", ()):
                subject["namespace"] = self.workspace.namespace
        return documents

    async def install(self, *kinds: str, field_manager: str = "kubectl") -> None:
        """Apply them, or those of some kinds, as somebody."""
        for document in self.documents():
            if not kinds or document["kind"] in kinds:
                await self.apply(document, field_manager=field_manager)

    async def apply(self, document: dict[str, Any], *, field_manager: str, force: bool = True) -> None:
        await self.workspace.cluster.admin.apply(
            _RESOURCES[document["kind"]],
            document["metadata"]["name"],
            document,
            namespace=self.workspace.namespace,
            field_manager=field_manager,
            force=force,
        )

    def fragment(self, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """A document with some fields of the policy `name`."""
        policy = next(each for each in self.documents() if each["metadata"]["name"] == name)
        identity = {"apiVersion": policy["apiVersion"], "kind": policy["kind"]}
        return {**identity, "metadata": {"name": name, **metadata}, "spec": spec}

    async def get(self, name: str) -> dict[str, Any]:
        return await self.workspace.cluster.admin.get(self.resource, name, namespace=self.workspace.namespace)

    async def patch(self, name: str, patch: dict[str, Any]) -> None:
        await self.workspace.cluster.admin.merge_patch(
            self.resource, name, patch, namespace=self.workspace.namespace
        )

    async def delete(self, name: str) -> None:
        await self.workspace.cluster.admin.delete(self.resource, name, namespace=self.workspace.namespace)

    @property
    def kind(self) -> str:
        return str(self.documents()[0]["kind"])

    @property
    def resource(self) -> Resource:
        return _RESOURCES[self.kind]

    async def numbers(self, name: str) -> dict[str, int]:
        """The limit of each tier, and of `OTHERS`, in a policy."""
        return numbers_of((await self.get(name))["spec"])


def _counting_globally(
    documents: list[dict[str, Any]], patches: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The documents as the component makes them."""
    limits = {patch["metadata"]["name"]: patch["spec"]["rateLimit"]["global"] for patch in patches}
    for document in documents:
        if document["kind"] == "BackendTrafficPolicy":
            document["spec"]["rateLimit"] = {"global": limits[document["metadata"]["name"]]}
    return documents


def numbers_of(spec: dict[str, Any]) -> dict[str, int]:
    if "limits" in spec:
        return {
            OTHERS if name == "other_tiers" else name: limit["rates"][0]["limit"] if "rates" in limit else 0
            for name, limit in spec["limits"].items()
        }
    ((_, limit),) = spec["rateLimit"].items()
    return {_tier_of(rule): rule["limit"]["requests"] for rule in limit["rules"]}


def _tier_of(rule: dict[str, Any]) -> str:
    if "clientSelectors" not in rule:
        return OTHERS
    ((tier, *_, owner),) = (selector["headers"] for selector in rule["clientSelectors"])
    assert owner["type"] == "Distinct"
    return OTHERS if tier["invert"] else str(tier["value"])
