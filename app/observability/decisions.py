"""What is counted of decisions about inference. This is on the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Container

    from prometheus_client import Counter

    from app.observability.registry import Registry

Outcome = Literal["allowed", "refused", "failed"]

# Most decisions are made from memory.
_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)


class Decisions:
    """The metrics of what Envoy and Authorino are answered.

    Tiers are those of the mapping, and models those of the catalogue: what a client merely says is no label.
    """

    def __init__(self, registry: Registry) -> None:
        self._authorizations = registry.counter(
            "authorizations",
            "Gateway decisions, by tier, model and decision; tier and model are empty where they were not "
            "found out, and the model also where none was asked for.",
            *("tier", "model", "decision"),
        )
        seconds = registry.histogram(
            "authorization_seconds",
            "How long a gateway decision takes; decision is allowed, refused or failed, which is refused "
            "because it could not be made.",
            "decision",
            buckets=_BUCKETS,
        )
        self._identities = registry.counter(
            "identities",
            "What Authorino was told of the holders of tokens, by tier and result: active, why not, or what "
            "failed.",
            *("tier", "result"),
        )
        # Each look-up of a series by the library takes longer than counting.
        self._seconds = {outcome: seconds.labels(outcome) for outcome in get_args(Outcome)}
        self._counters: dict[tuple[str, str, str], Counter] = {}

    def observe(self, tier: str, model: str, decision: str, seconds: float, *, outcome: Outcome) -> None:
        """Take note of one decision: ``allowed`` or a problem code; `model` is one of the catalogue's."""
        key = (tier, model, decision)
        if (counter := self._counters.get(key)) is None:
            counter = self._counters[key] = self._authorizations.labels(*key)
        counter.inc()
        self._seconds[outcome].observe(seconds)

    def count_identity(self, tier: str, result: str) -> None:
        """Take note of one answer to Authorino."""
        self._identities.labels(tier, result).inc()

    def keep(self, *, tiers: Container[str], models: Container[str]) -> None:
        """Forget the series of tiers and models that are gone: there would be more and more of them."""
        for key in list(self._counters):
            tier, model, _ = key
            if (tier and tier not in tiers) or (model and model not in models):
                del self._counters[key]
                self._authorizations.remove(*key)
