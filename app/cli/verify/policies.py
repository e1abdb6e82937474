"""The policies of the two profiles, and what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.cli import conditions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.cli.verify.view import View

_KUADRANT = "kuadrant.io"
_ENVOY = "gateway.envoyproxy.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of policy.

    Attributes:
        resource: its plural and its group.
        conditions: those that must be True for it to hold.
        guards: whether it decides who may pass.
    """

    resource: str
    conditions: tuple[str, ...]
    guards: bool = False

    @property
    def profile(self) -> str:
        """`kuadrant` or `envoy-gateway`: the folder of manifests/policies."""
        return "kuadrant" if self.resource.endswith(_KUADRANT) else "envoy-gateway"


# Envoy Gateway accepts a policy once it is in Envoy's configuration; Kuadrant says `Enforced` of that.
KINDS = (
    Kind(f"authpolicies.{_KUADRANT}", ("Accepted", "Enforced"), guards=True),
    Kind(f"ratelimitpolicies.{_KUADRANT}", ("Accepted", "Enforced")),
    Kind(f"tokenratelimitpolicies.{_KUADRANT}", ("Accepted", "Enforced")),
    Kind(f"telemetrypolicies.extensions.{_KUADRANT}", ("Accepted", "Enforced")),
    Kind(f"securitypolicies.{_ENVOY}", ("Accepted",), guards=True),
    Kind(f"backendtrafficpolicies.{_ENVOY}", ("Accepted",)),
    Kind(f"clienttrafficpolicies.{_ENVOY}", ("Accepted",)),
    Kind(f"envoyextensionpolicies.{_ENVOY}", ("Accepted",)),
    Kind(f"envoypatchpolicies.{_ENVOY}", ("Accepted", "Programmed")),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """One that is about the platform's gateway, or a route of it.

    Attributes:
        content: the object.
        targets: kind, namespace and name of what it is about.
    """

    kind: Kind
    content: dict[str, Any]
    targets: frozenset[tuple[str, str, str]]

    def unmet(self, *wanted: str) -> Iterator[str]:
        """What keeps these conditions from being True, those that its kind does not have aside."""
        kinds = [kind for kind in self.kind.conditions if kind in wanted]
        status, generation = self.content.get("status", {}), self.content["metadata"].get("generation")
        # Envoy Gateway reports for each Gateway above the target: GEP-713's PolicyAncestorStatus.
        reports = [ancestor.get("conditions") for ancestor in status.get("ancestors", ())]
        for report in reports or [status.get("conditions")]:
            for problem in conditions.unmet(report, *kinds, generation=generation):
                yield f"{conditions.title(self.content)}: {problem}"


async def policies_of(view: View) -> list[Policy]:
    """The policies that are about the platform's gateway or one of its routes; may raise a KubectlError."""
    ours = {("Gateway", view.namespace, view.gateway)}
    ours |= {("HTTPRoute", *place(route)) for route in await view.routes()}
    found = []
    for kind in KINDS:
        for content in await view.all(kind.resource, everywhere=True):
            targets = frozenset(_targets(content)) & ours
            if targets:
                found.append(Policy(kind, content, targets))
    return found


def place(thing: dict[str, Any]) -> tuple[str, str]:
    """Namespace and name."""
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def _targets(policy: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    spec = policy.get("spec", {})
    namespace = policy["metadata"]["namespace"]
    for target in (*spec.get("targetRefs", ()), *filter(None, [spec.get("targetRef")])):
        yield target["kind"], target.get("namespace", namespace), target["name"]
