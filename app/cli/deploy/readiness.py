"""Whether an object is ready, what it says meanwhile, and how to look further; all from the object itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.cli.conditions import find, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Document = dict[str, Any]
Key = tuple[str, str, str, str]
"""API group, kind, namespace and name."""


@dataclass(frozen=True)
class Pending:
    """Something that is waited for.

    Attributes:
        what: what must come true.
        seen: what is true instead.
        look: the arguments of `oc` or `kubectl` that show more.
    """

    what: str
    seen: str
    look: tuple[str, ...]


@dataclass(frozen=True)
class _Rule:
    becomes: str
    seen: Callable[[Document], str | None]
    """What an object says while it is not ready; None once it is."""


def key(document: Document) -> Key:
    """What tells an object from all others."""
    metadata = document["metadata"]
    group = document["apiVersion"].rpartition("/")[0]
    return group, document["kind"], metadata.get("namespace", ""), metadata["name"]


def is_waited_for(document: Document) -> bool:
    """Whether objects of this kind become ready, rather than being it at once."""
    return key(document)[:2] in _RULES


def pending(
    document: Document, live: Mapping[Key, Document], *, needs_address: bool = True
) -> Pending | None:
    """What to wait for, or None when an object is ready.

    Args:
        document: the object as applied.
        live: objects as they are in the cluster; of a Subscription, its ClusterServiceVersion too.
        needs_address: whether a Gateway is unready while no load balancer gives it an address; without one,
            as on kind, a port-forward reaches it.
    """
    group, kind, _, _ = key(document)
    rule = _RULES[group, kind]
    found = live.get(key(document))
    look = describe(document)
    if kind == "Subscription":
        csv = csv_of(found)
        if csv is not None and found is not None:
            found, look = live.get(key(csv)), describe(csv)
    seen = "it is not there yet" if found is None else rule.seen(found)
    if not needs_address and kind == "Gateway" and found is not None:
        seen = None if _condition(_conditions(found), "Programmed").get("reason") == _NO_ADDRESS else seen
    return None if seen is None else Pending(f"{title(document)} to be {rule.becomes}", seen, look)


def describe(document: Document) -> tuple[str, ...]:
    """The arguments that have `oc` or `kubectl` describe an object."""
    group, kind, namespace, name = key(document)
    resource = f"{kind.lower()}.{group}" if group else kind.lower()
    return ("describe", resource, name, *((f"--namespace={namespace}",) if namespace else ()))


def csv_of(subscription: Document | None) -> Document | None:
    """The ClusterServiceVersion that OLM installs for a Subscription; None before it has chosen one."""
    status = (subscription or {}).get("status") or {}
    name = status.get("currentCSV")
    if subscription is None or not name:
        return None
    metadata = {"name": name, "namespace": subscription["metadata"].get("namespace", "")}
    return {
        "apiVersion": subscription["apiVersion"],
        "kind": "ClusterServiceVersion",
        "metadata": metadata,
    }


def _condition(conditions: Iterable[Document], type_: str) -> Document:
    return find(conditions, type_) or {}


def _say(condition: Document, type_: str) -> str | None:
    """Why a condition does not hold; None when it does."""
    if condition.get("status") == "True":
        return None
    if not condition:
        return f"no condition {type_} yet"
    return _because(condition, f"{type_} is {condition.get('status')}")


def _because(condition: Document, what: str) -> str:
    reasons = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return f"{what} ({' '.join(reasons.split())})" if reasons else what


def _conditions(document: Document) -> list[Document]:
    return (document.get("status") or {}).get("conditions") or []


def _has(type_: str, *, but: str = "") -> Callable[[Document], str | None]:
    """A condition in the object's own status; `but` is a reason for which it is ready all the same."""

    def seen(document: Document) -> str | None:
        condition = _condition(_conditions(document), type_)
        observed = condition.get("observedGeneration")
        if observed is not None and observed < document["metadata"].get("generation", 0):
            return "its controller has not seen the last change yet"
        return None if but and condition.get("reason") == but else _say(condition, type_)

    return seen


def _everywhere(field: str, *types: str) -> Callable[[Document], str | None]:
    """Conditions that every parent, ancestor or ingress of an object states."""

    def seen(document: Document) -> str | None:
        places = (document.get("status") or {}).get(field) or []
        if not places:
            return "no controller has answered yet"
        said = (
            _say(_condition(place.get("conditions") or [], type_), type_)
            for place in places
            for type_ in types
        )
        return next(filter(None, said), None)

    return seen


def _rolled_out(deployment: Document) -> str | None:
    status = deployment.get("status") or {}
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 1):
        return "its controller has not seen the last change yet"
    available = min(status.get("availableReplicas", 0), status.get("updatedReplicas", 0))
    if available >= wanted:
        return None
    seen = f"{available} of {wanted} replicas are available"
    progressing = _condition(_conditions(deployment), "Progressing")
    return _because(progressing, seen) if progressing.get("status") == "False" else seen


def _installed(operator: Document) -> str | None:
    """For a ClusterServiceVersion, or for the Subscription while there is none.

    https://olm.operatorframework.io/docs/concepts/crds/clusterserviceversion/
    """
    status = operator.get("status") or {}
    if operator["kind"] == "ClusterServiceVersion":
        phase = status.get("phase") or "not begun"
        return None if phase == "Succeeded" else _because(status, f"its CSV is {phase}")
    for type_ in ("ResolutionFailed", "InstallPlanFailed", "CatalogSourcesUnhealthy", "InstallPlanPending"):
        condition = _condition(_conditions(operator), type_)
        if condition.get("status") == "True":
            return _because(condition, type_)
    return "OLM has chosen no version yet"


_NO_ADDRESS = "AddressNotAssigned"
_READY = _Rule("Ready", _has("Ready"))
_ENFORCED = _Rule("Enforced", _has("Enforced", but="Overridden"))
_ACCEPTED = _Rule("Accepted", _everywhere("ancestors", "Accepted"))

_RULES: dict[tuple[str, str], _Rule] = {
    ("apps", "Deployment"): _Rule("Available", _rolled_out),
    ("operators.coreos.com", "Subscription"): _Rule("Succeeded", _installed),
    ("gateway.networking.k8s.io", "GatewayClass"): _Rule("Accepted", _has("Accepted")),
    ("gateway.networking.k8s.io", "Gateway"): _Rule("Programmed", _has("Programmed")),
    ("gateway.networking.k8s.io", "HTTPRoute"): _Rule(
        "Accepted", _everywhere("parents", "Accepted", "ResolvedRefs")
    ),
    ("route.openshift.io", "Route"): _Rule("Admitted", _everywhere("ingress", "Admitted")),
    ("cert-manager.io", "Issuer"): _READY,
    ("cert-manager.io", "Certificate"): _READY,
    ("kuadrant.io", "Kuadrant"): _READY,
    ("operator.authorino.kuadrant.io", "Authorino"): _READY,
    ("limitador.kuadrant.io", "Limitador"): _READY,
    ("kuadrant.io", "AuthPolicy"): _ENFORCED,
    ("kuadrant.io", "RateLimitPolicy"): _ENFORCED,
    ("kuadrant.io", "TokenRateLimitPolicy"): _ENFORCED,
    ("extensions.kuadrant.io", "TelemetryPolicy"): _ENFORCED,
    ("datasciencecluster.opendatahub.io", "DataScienceCluster"): _READY,
    ("operator.knative.dev", "KnativeServing"): _READY,
    ("operator.openshift.io", "LeaderWorkerSetOperator"): _Rule("Available", _has("Available")),
    ("serving.kserve.io", "InferenceService"): _READY,
    ("serving.kserve.io", "LLMInferenceService"): _READY,
    ("gateway.envoyproxy.io", "SecurityPolicy"): _ACCEPTED,
    ("gateway.envoyproxy.io", "BackendTrafficPolicy"): _ACCEPTED,
    ("gateway.envoyproxy.io", "ClientTrafficPolicy"): _ACCEPTED,
    ("gateway.envoyproxy.io", "EnvoyExtensionPolicy"): _ACCEPTED,
    ("gateway.envoyproxy.io", "EnvoyPatchPolicy"): _Rule(
        "Programmed", _everywhere("ancestors", "Accepted", "Programmed")
    ),
}
