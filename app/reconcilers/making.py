"""The reconcilers of the service, made from its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.kube.backoff import Backoff
from app.limits.profiles import policies_of
from app.reconcilers.limits import LimitsReconciler
from app.reconcilers.mapping_events import MappingEvents
from app.reconcilers.policy_keeper import Keeping
from app.reconcilers.reaper import Reaper
from app.reconcilers.retier import Retier

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from app.kube.client import KubeClient
    from app.kube.events import EventRecorder
    from app.kube.pace import Pace
    from app.observability.metrics import Metrics
    from app.reconcilers.running import Reconciler
    from app.settings import Settings
    from app.tiers.membership import Membership
    from app.tiers.source import TierSource
    from app.tokens.corrector import Corrector
    from app.tokens.inventory import Inventory
    from app.tokens.standing import Standings


@dataclass(frozen=True, slots=True)
class Parts:
    """What reconcilers stand on.

    Attributes:
        settings: how.
        client: the cluster.
        metrics: where they count.
        inventory: the tokens.
        tiers: the mapping.
        membership: the cluster's Groups.
        standings: how people stand by the two.
        corrector: writes what differs into a token's ServiceAccount.
        events: Kubernetes Events on the mapping's ConfigMap.
        pace: of all writes to tokens together.
        mapping_read: returns when the ConfigMap was looked for.
        all_read: returns when everything was read that decisions are made from.
        random: spreads retries.
        clock: monotonic seconds.
        now: seconds since the epoch.
    """

    settings: Settings
    client: KubeClient
    metrics: Metrics
    inventory: Inventory
    tiers: TierSource
    membership: Membership
    standings: Standings
    corrector: Corrector
    events: EventRecorder
    pace: Pace
    mapping_read: Callable[[], Awaitable[None]]
    all_read: Callable[[], Awaitable[None]]
    random: random.Random
    clock: Callable[[], float]
    now: Callable[[], float]


def reconcilers(parts: Parts) -> tuple[Reconciler, ...]:
    """All of them, as the settings want them; none is running."""
    mode = parts.settings.limits.mode
    limits = () if mode == "off" else (_limits(parts, mode),)
    return (
        MappingEvents(parts.tiers, parts.events, wait_read=parts.mapping_read),
        Retier(
            parts.inventory,
            parts.tiers,
            parts.membership,
            parts.standings,
            parts.corrector,
            wait_read=parts.all_read,
            pace=parts.pace,
            backoff=Backoff(parts.random),
            observe=parts.metrics,
            events=parts.events,
        ),
        Reaper(
            parts.client,
            parts.inventory,
            namespace=parts.settings.namespace,
            seconds=parts.settings.reconcilers.reaper_seconds,
            pace=parts.pace,
            time=parts.now,
            observe=parts.metrics,
        ),
        *limits,
    )


def _limits(parts: Parts, mode: Literal["apply", "report"]) -> LimitsReconciler:
    settings = parts.settings.limits
    keeping = Keeping(
        client=parts.client,
        namespace=parts.settings.namespace,
        mode=mode,
        installers=settings.installer_names,
        warn=parts.events.warning,
        observe=parts.metrics,
        observe_reflector=parts.metrics.observe_reflector,
        random=parts.random,
        clock=parts.clock,
    )
    return LimitsReconciler(policies_of(settings.profile), parts.tiers, keeping)
