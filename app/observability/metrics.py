"""The service's own metrics, named by Prometheus' conventions (prometheus.io/docs/practices/naming).

`docs/metrics.md` lists them as they are here: `make docs` writes it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector, generate_latest

from app.observability.decisions import Decisions
from app.observability.deferred import Deferred
from app.observability.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Histogram

# The calls that only issuing makes, or above all: verb, resource, subresource.
_ISSUE_STEPS = {
    ("create", "tokenreviews", None): "token_review",
    ("create", "serviceaccounts", None): "create",
    ("create", "serviceaccounts", "token"): "token_request",
}


class Metrics:
    """Every metric of one process, in a registry of its own.

    No label has a value from a request that was not checked: every label is bounded by what the cluster holds
    (tiers, models, resources) or by the code (reasons, results). None names a user.

    Attributes:
        deferred: makes of what observes something what only takes note, for where somebody waits.
    """

    def __init__(self) -> None:
        self.registry = registry = Registry()
        ProcessCollector(registry=registry)
        self.deferred = Deferred(registry)

        self.build = registry.gauge(
            "build_info", "Always 1; the label tells the version that runs.", "version"
        )
        self.build.labels(version("privatemaas")).set(1)

        self.tokens_issued = registry.counter("tokens_issued", "MaaS tokens issued, by tier.", "tier")
        self.tokens_revoked = registry.counter("tokens_revoked", "MaaS tokens revoked.")
        self.tokens_expired = registry.counter(
            "tokens_expired", "Expired tokens whose ServiceAccounts were deleted."
        )
        self.tokens_refused = registry.counter(
            "tokens_refused", "Requests of the MaaS API that were refused, by problem code.", "reason"
        )
        self.issue_seconds = registry.histogram(
            "issue_seconds",
            "How long the calls take that issuing waits for: token_review (asked for other requests too; a "
            "remembered answer is none), create (the ServiceAccount) and token_request.",
            "step",
        )
        self.tokens_live = registry.gauge(
            "tokens_live", "ServiceAccounts of MaaS tokens in view, by the tier in their label.", "tier"
        )
        self.tokens_overdue = registry.gauge(
            "tokens_overdue", "Expired tokens that the leader has found and not deleted yet."
        )
        self.tokens_unreadable = registry.gauge(
            "tokens_unreadable",
            "ServiceAccounts that look like tokens and cannot be read; they are refused and never deleted.",
        )
        self.orphans = registry.gauge(
            "orphans", "ServiceAccounts that failed issues may have left, which are still to be removed."
        )
        self.owners = registry.gauge(
            "owners",
            "People who hold tokens: active ones, and suspended ones, who have no tier; the leader counts.",
            "standing",
        )

        self.decisions = Decisions(registry)

        self.kube_seconds = registry.histogram(
            "kubernetes_request_seconds",
            "Latency of calls to the Kubernetes API, by verb, resource and status (0: no answer).",
            *("verb", "resource", "status"),
        )
        # Each look-up of a series by the library takes longer than counting.
        self._of_kube_call = cache(self._find_of_kube_call)
        self._issued = cache(self.tokens_issued.labels)
        # For where somebody waits.
        self.note_kube_call = self.deferred(self.observe_kube_call)
        self.note_issued = self.deferred(self.observe_issued)
        self.kube_reachable = registry.gauge(
            "kubernetes_reachable",
            "1 if the last word of the Kubernetes API to every reflector that decisions are made from was "
            "good, 0 if not.",
        )
        self.reflector_events = registry.counter(
            "reflector_events",
            "What reflectors went through: list, watch, gone, absent, error.",
            *("resource", "event"),
        )
        self.reflector_lag = registry.gauge(
            "reflector_lag_seconds",
            "Seconds since the Kubernetes API last showed that what is in memory is current. An idle watch "
            "is heard of about once a minute. +Inf before the first list.",
            "resource",
        )

        self.mapping_generation = registry.gauge(
            "mapping_generation", "How many tier mappings have been in force since the start."
        )
        self.mapping_valid = registry.gauge(
            "mapping_valid",
            "1 if the ConfigMap's current mapping is in force, 0 if it was rejected or is missing.",
        )
        self.mapping_rejected = registry.counter(
            "mapping_rejected", "How often a mapping was rejected, or found missing."
        )
        self.mapping_rejected_time = registry.gauge(
            "mapping_last_error_timestamp_seconds",
            "When a mapping was last rejected or found missing, in seconds since 1970; 0 if never.",
        )
        self.mapping_accepted_time = registry.gauge(
            "mapping_last_accepted_timestamp_seconds",
            "When a mapping was last put in force, in seconds since 1970; 0 if never.",
        )

        self.leader = registry.gauge("leader", "1 if this replica is the leader, whose reconcilers run.")
        self.leader_transitions = registry.counter(
            "leader_transitions", "How often this replica became the leader or ceased to be."
        )
        self.reconciler_runs = registry.counter(
            "reconciler_runs",
            "How often a reconciler of this replica had a look, and whether all was done or some failed and "
            "is tried again.",
            *("reconciler", "result"),
        )
        self.reconciler_seconds = registry.histogram(
            "reconciler_run_seconds",
            "How long a reconciler's look took, with its writes and the pauses between them.",
            "reconciler",
            buckets=(0.01, 0.1, 1, 10, 60, 300, 1800),
        )
        self.retier_pending = registry.gauge(
            "retier_pending",
            "Tokens whose labels do not say yet what their owners are now; decisions do not wait for them.",
        )
        self.limits_in_step = registry.gauge(
            "limits_in_step",
            "1 if the limits in a policy of the gateway are those of the tier mapping, 0 if not. Only the "
            "leader says so, and only of policies that are there.",
            "policy",
        )
        self.limits_contested_fields = registry.gauge(
            "limits_contested_fields",
            "Fields of a policy that another field manager keeps otherwise than the tier mapping says.",
            "policy",
        )
        self.limits_written = registry.counter(
            "limits_written",
            "How often this replica has written the tier mapping's limits into a policy.",
            "policy",
        )

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, as it is now."""
        return generate_latest(self.registry)

    def observe_issued(self, tier: str) -> None:
        """Take note that a token of this tier was issued."""
        self._issued(tier).inc()

    def observe_kube_call(
        self, verb: str, resource: str, subresource: str | None, status: int, seconds: float
    ) -> None:
        """Take note of one call to the Kubernetes API, which may be a step of issuing."""
        for histogram in self._of_kube_call(verb, resource, subresource, status):
            histogram.observe(seconds)

    def _find_of_kube_call(
        self, verb: str, resource: str, subresource: str | None, status: int
    ) -> tuple[Histogram, ...]:
        of_call = self.kube_seconds.labels(verb, resource, status)
        step = _ISSUE_STEPS.get((verb, resource, subresource))
        return (of_call,) if step is None else (of_call, self.issue_seconds.labels(step))

    def observe_reflector(self, resource: str, event: str) -> None:
        """Take note of what a reflector went through."""
        self.reflector_events.labels(resource, event).inc()

    def observe_contact(self, ages: Iterable[tuple[str, float]], *, reachable: bool) -> None:
        """Take note of how many seconds ago each resource was last known to be current."""
        self.kube_reachable.set(reachable)
        for resource, seconds in ages:
            self.reflector_lag.labels(resource).set(seconds)

    def observe_mapping(self, generation: int, *, valid: bool, at: float) -> None:
        """Take note of the mapping in force and whether the ConfigMap's content, as of `at`, is it."""
        self.mapping_generation.set(generation)
        self.mapping_valid.set(valid)
        if valid:
            self.mapping_accepted_time.set(at)
        else:
            self.mapping_rejected.inc()
            self.mapping_rejected_time.set(at)

    def observe_leader(self, *, leading: bool) -> None:
        """Take note that this replica became the leader, or ceased to be."""
        self.leader.set(leading)
        self.leader_transitions.inc()

    def observe_run(self, reconciler: str, result: str, seconds: float) -> None:
        """Take note of one run of a reconciler: ``done`` or ``failed``."""
        self.reconciler_runs.labels(reconciler, result).inc()
        self.reconciler_seconds.labels(reconciler).observe(seconds)

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

    def observe_tokens(self, tiers: Mapping[str, int], *, unreadable: int, orphans: int) -> None:
        """Take note of how many tokens there are of each tier, and of what is not right."""
        self.tokens_live.clear()
        for tier, tokens in tiers.items():
            self.tokens_live.labels(tier).set(tokens)
        self.tokens_unreadable.set(unreadable)
        self.orphans.set(orphans)

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
