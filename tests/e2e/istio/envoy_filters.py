"""EnvoyFilters, applied in Istio's order to what a gateway has before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Json = dict[str, Any]
_ROUTER = "envoy.filters.http.router"


@dataclass
class Patched:
    """What patches have made of a gateway.

    Attributes:
        http_filters: those before the router, in order.
        listener: fields of the listener.
        clusters: clusters that were added.
    """

    http_filters: list[Json] = field(default_factory=list)
    listener: Json = field(default_factory=dict)
    clusters: list[Json] = field(default_factory=list)

    def apply(self, config_patch: Mapping[str, Any]) -> None:
        patch = config_patch["patch"]
        value = patch["value"]
        match (config_patch["applyTo"], patch["operation"]):
            case ("HTTP_FILTER", "INSERT_FIRST"):
                self.http_filters.insert(0, value)
            case ("HTTP_FILTER", "INSERT_BEFORE"):
                filters = config_patch["match"]["listener"]["filterChain"]["filter"]
                assert filters["subFilter"]["name"] == _ROUTER
                self.http_filters.append(value)
            case ("LISTENER", "MERGE"):
                assert not any(isinstance(merged, dict | list) for merged in value.values())
                self.listener |= value
            case ("CLUSTER", "ADD"):
                self.clusters.append(value)
            case other:
                raise AssertionError(f"this is not known here: {other}")


def patched(envoy_filters: Iterable[Mapping[str, Any]], *, first: Sequence[Json] = ()) -> Patched:
    """Apply EnvoyFilters to a gateway whose filters before the router are `first`.

    Istio applies a lower priority before a higher one, and of the same priority the older before the younger
    (istio.io, EnvoyFilter, `priority`).
    """
    gateway = Patched(list(first))
    for envoy_filter in sorted(envoy_filters, key=_order):
        for config_patch in envoy_filter["spec"]["configPatches"]:
            gateway.apply(config_patch)
    return gateway


def _order(envoy_filter: Mapping[str, Any]) -> tuple[int, str, str]:
    metadata = envoy_filter["metadata"]
    priority = envoy_filter["spec"].get("priority", 0)
    return priority, metadata.get("creationTimestamp", ""), f"{metadata['name']}.{metadata['namespace']}"
