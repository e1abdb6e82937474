"""The service's own metrics, named by Prometheus' conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.tokens_issued = Counter(
            "maas_tokens_issued", "MaaS tokens issued, by tier.", ["tier"], registry=self.registry
        )
        self.tokens_revoked = Counter("maas_tokens_revoked", "MaaS tokens revoked.", registry=self.registry)
        self.tokens_refused = Counter(
            "maas_tokens_refused",
            "Requests of the MaaS API that were refused, by problem code.",
            ["reason"],
            registry=self.registry,
        )
        self.tokens_live = Gauge(
            "maas_tokens_live", "ServiceAccounts of MaaS tokens in view.", registry=self.registry
        )
        self.kube_seconds = Histogram(
            "maas_kubernetes_request_seconds",
            "Latency of calls to the Kubernetes API, by verb, resource and status (0: no answer).",
            ["verb", "resource", "status"],
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.reflector_events = Counter(
            "maas_reflector_events",
            "What reflectors went through: list, watch, gone, absent, error.",
            ["resource", "event"],
            registry=self.registry,
        )
        self.mapping_generation = Gauge(
            "maas_mapping_generation",
            "How many tier mappings have been in force since the start.",
            registry=self.registry,
        )
        self.mapping_valid = Gauge(
            "maas_mapping_valid",
            "1 if the ConfigMap's current mapping is in force, 0 if it was rejected or is missing.",
            registry=self.registry,
        )
        self.authorizations = Counter(
            "maas_authorizations",
            "Gateway decisions, by tier and decision.",
            ["tier", "decision"],
            registry=self.registry,
        )

        self.leader = Gauge(
            "maas_leader", "1 if this replica is the leader, whose reconcilers run.", registry=self.registry
        )
        self.leader_transitions = Counter(
            "maas_leader_transitions",
            "How often this replica became the leader or ceased to be.",
            registry=self.registry,
        )

        self.retier_pending = Gauge(
            "maas_retier_pending",
            "Tokens whose labels do not say yet what their owners are now; decisions do not wait for them.",
            registry=self.registry,
        )
        self.owners = Gauge(
            "maas_owners",
            "People who hold tokens: active ones, and suspended ones, who have no tier; the leader counts.",
            ["standing"],
            registry=self.registry,
        )
        self.tokens_expired = Counter(
            "maas_tokens_expired",
            "Expired tokens whose ServiceAccounts were deleted.",
            registry=self.registry,
        )
        self.tokens_overdue = Gauge(
            "maas_tokens_overdue",
            "Expired tokens that the leader has found and not deleted yet.",
            registry=self.registry,
        )
        self.tokens_unreadable = Gauge(
            "maas_tokens_unreadable",
            "ServiceAccounts that look like tokens and cannot be read; they are refused and never deleted.",
            registry=self.registry,
        )
        self.orphans = Gauge(
            "maas_orphans",
            "ServiceAccounts that failed issues may have left, which are still to be removed.",
            registry=self.registry,
        )
        self.limits_in_step = Gauge(
            "maas_limits_in_step",
            "1 if the limits in a policy of the gateway are those of the tier mapping, 0 if not. Only the "
            "leader says so, and only of policies that are there.",
            ["policy"],
            registry=self.registry,
        )
        self.limits_contested_fields = Gauge(
            "maas_limits_contested_fields",
            "Fields of a policy that another field manager keeps otherwise than the tier mapping says.",
            ["policy"],
            registry=self.registry,
        )
        self.limits_written = Counter(
            "maas_limits_written",
            "How often this replica has written the tier mapping's limits into a policy.",
            ["policy"],
            registry=self.registry,
        )

    def observe_kube_call(self, verb: str, resource: str, status: int, seconds: float) -> None:
        """Take note of one call to the Kubernetes API."""
        self.kube_seconds.labels(verb, resource, str(status)).observe(seconds)

    def observe_reflector(self, resource: str, event: str) -> None:
        """Take note of what a reflector went through."""
        self.reflector_events.labels(resource, event).inc()

    def observe_mapping(self, generation: int, *, valid: bool) -> None:
        """Take note of the mapping in force and whether the ConfigMap's present content is it."""
        self.mapping_generation.set(generation)
        self.mapping_valid.set(valid)

    def observe_leader(self, *, leading: bool) -> None:
        """Take note that this replica became the leader, or ceased to be."""
        self.leader.set(leading)
        self.leader_transitions.inc()

    def observe_pending(self, tokens: int) -> None:
        """Take note of how many tokens are still to be relabelled."""
        self.retier_pending.set(tokens)

    def observe_owners(self, *, active: int, suspended: int) -> None:
        """Take note of how many people have a tier, and how many have none."""
        self.owners.labels("active").set(active)
        self.owners.labels("suspended").set(suspended)

    def observe_overdue(self, tokens: int) -> None:
        """Take note of how many expired tokens are still to be deleted."""
        self.tokens_overdue.set(tokens)

    def observe_reaped(self) -> None:
        """Take note that an expired token was deleted."""
        self.tokens_expired.inc()

    def watch_tokens(
        self, live: Callable[[], int], unreadable: Callable[[], int], orphans: Callable[[], int]
    ) -> None:
        """Show what these give whenever the metrics are read."""
        self.tokens_live.set_function(live)
        self.tokens_unreadable.set_function(unreadable)
        self.orphans.set_function(orphans)

    def observe_limits(self, policy: str, *, in_step: bool | None, contested: int) -> None:
        """Take note of how a policy stands; with `in_step` None, that there is nothing to say."""
        if in_step is None:
            self.forget_limits(policy)
            return
        self.limits_in_step.labels(policy).set(in_step)
        self.limits_contested_fields.labels(policy).set(contested)

    def forget_limits(self, policy: str) -> None:
        """Say no longer how a policy stands."""
        self.limits_in_step.remove(policy)
        self.limits_contested_fields.remove(policy)

    def count_limits_written(self, policy: str) -> None:
        """Take note that limits were written into a policy."""
        self.limits_written.labels(policy).inc()
