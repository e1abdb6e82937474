"""All parts of the running service, put together once and handed to both applications."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.identity.access_review import AccessReviewer
from app.identity.token_review import TokenReviewer
from app.kube.backoff import Backoff
from app.kube.events import EventRecorder
from app.kube.forms import METADATA, WHOLE
from app.kube.freshness import Freshness
from app.kube.leader import LeaderElection
from app.kube.pace import Pace
from app.kube.reflector import Listing, Reflector
from app.kube.resources import CONFIG_MAPS, GROUPS, SERVICE_ACCOUNTS
from app.models.access import ModelAccess
from app.models.catalogue import KINDS, Catalogue
from app.reconcilers import making
from app.tiers.membership import Membership
from app.tiers.source import TierSource
from app.tokens.claims import Claims
from app.tokens.corrector import Corrector
from app.tokens.inventory import Inventory
from app.tokens.issuer import Issuer, Lifetimes
from app.tokens.lookup import Lookup
from app.tokens.orphans import Orphans
from app.tokens.record import SELECTOR
from app.tokens.revoker import Revoker
from app.tokens.signing_keys import SigningKeys
from app.tokens.standing import Standings
from app.tokens.verifier import Verifier
from app.usage.meter import Meter
from app.usage.price_source import PriceSource
from app.usage.prometheus import Prometheus

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from app.kube.client import KubeClient
    from app.kube.forms import Form
    from app.kube.reflector import Sink
    from app.kube.resources import Resource
    from app.observability.metrics import Metrics
    from app.observability.tracing import Tracer
    from app.reconcilers.running import Reconciler
    from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """The parts.

    Attributes:
        decisions: freshness of what every decision is made from: tokens, the mapping, Groups.
        reflectors: all of them, those of the models too.
        optional: those of them without which everything else can be answered.
        reconcilers: what only the leader runs.
        election: this replica's candidature.
        prices: what models cost.
        meter: what was used, by Prometheus' account.
        events: Kubernetes Events on the mapping's ConfigMap.
        stopping: set when the process is about to end: it is not ready, and does not stand for election.
        tracer: begins traces of requests; None where nothing is traced.
    """

    settings: Settings
    metrics: Metrics
    token_reviewer: TokenReviewer
    access_reviewer: AccessReviewer
    tiers: TierSource
    membership: Membership
    standings: Standings
    catalogue: Catalogue
    model_access: ModelAccess
    inventory: Inventory
    signing_keys: SigningKeys
    lookup: Lookup
    verifier: Verifier
    issuer: Issuer
    revoker: Revoker
    orphans: Orphans
    claims: Claims
    decisions: Freshness
    reflectors: tuple[Reflector[Any], ...]
    optional: frozenset[Reflector[Any]]
    reconcilers: tuple[Reconciler, ...]
    election: LeaderElection
    prices: PriceSource
    meter: Meter
    events: EventRecorder
    stopping: asyncio.Event
    tracer: Tracer | None


def build(
    settings: Settings,
    client: KubeClient,
    metrics: Metrics,
    *,
    random: random.Random,
    stopping: asyncio.Event | None = None,
    tracer: Tracer | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> Service:
    """Make the parts; nothing is started and nothing is asked of the cluster.

    Args:
        settings: how.
        client: the cluster.
        metrics: where the parts count.
        random: spreads retries.
        stopping: is set when the process is about to end.
        tracer: begins traces of requests.
        clock: monotonic seconds, for ages and waits.
        now: seconds since the epoch, for expiry.
    """
    tokens, kube = settings.tokens, settings.kube
    namespace = settings.namespace
    tiers, catalogue, inventory = TierSource(), Catalogue(), Inventory(clock=clock)
    membership = Membership(clock=clock)
    standings = Standings(tiers, membership)
    corrector = Corrector(client, inventory, standings, namespace=namespace)
    pace = Pace(settings.reconcilers.writes_per_second, clock=clock)
    orphans = Orphans(client, namespace=namespace, backoff=Backoff(random), clock=clock)
    access_reviewer = AccessReviewer(
        client,
        cache_seconds=settings.models.access_cache_seconds,
        cache_entries=settings.models.access_cache_entries,
        staleness_seconds=kube.staleness_seconds,
        clock=clock,
    )
    lookup = Lookup(client, inventory, namespace=namespace)
    signing_keys = SigningKeys(client, clock=clock)

    def reflector(
        resource: Resource,
        sink: Sink[Any],
        *,
        namespace: str | None = None,
        form: Form = WHOLE,
        name: str | None = None,
        **selectors: str,
    ) -> Reflector[Any]:
        return Reflector(
            client,
            resource,
            sink,
            namespace=namespace,
            selectors=selectors,
            listing=Listing(kube.page_size, form, name),
            backoff=Backoff(random),
            clock=clock,
            observe=metrics.observe_reflector,
            # An idle watch is heard of only when it ends, which must be well before it counts as stale.
            watch_seconds=min(kube.watch_seconds, kube.staleness_seconds / 2),
        )

    mapping = f"metadata.name={settings.tiers.config_map}"
    of_tokens = reflector(
        SERVICE_ACCOUNTS,
        inventory,
        namespace=namespace,
        form=METADATA,
        labelSelector=SELECTOR,
    )
    of_mapping = reflector(CONFIG_MAPS, tiers, namespace=namespace, fieldSelector=mapping)
    decisive = (of_tokens, of_mapping, reflector(GROUPS, membership))
    decisions = Freshness(decisive, staleness_seconds=kube.staleness_seconds)
    prices = PriceSource()
    of_prices = reflector(
        CONFIG_MAPS,
        prices,
        namespace=namespace,
        name=f"configmaps/{settings.pricing.config_map}",
        fieldSelector=f"metadata.name={settings.pricing.config_map}",
    )
    usage = settings.usage
    models = tuple(reflector(kind, catalogue.shelf(kind)) for kind in KINDS)
    # Also of two processes on one host, and of one that was killed and started again.
    identity = f"{socket.gethostname()}_{os.urandom(4).hex()}"

    def config_map() -> dict[str, str]:
        return {
            "apiVersion": CONFIG_MAPS.api_version,
            "kind": "ConfigMap",
            "namespace": namespace,
            "name": settings.tiers.config_map,
            "uid": tiers.uid,
        }

    events = EventRecorder(client, involved=config_map, instance=identity, backoff=Backoff(random), time=now)
    parts = making.Parts(
        settings=settings,
        client=client,
        metrics=metrics,
        inventory=inventory,
        tiers=tiers,
        membership=membership,
        standings=standings,
        corrector=corrector,
        events=events,
        pace=pace,
        mapping_read=of_mapping.wait_synced,
        all_read=decisions.wait_synced,
        random=random,
        clock=clock,
        now=now,
    )
    service = Service(
        settings=settings,
        metrics=metrics,
        token_reviewer=TokenReviewer(
            client,
            maas_namespace=namespace,
            cache_seconds=settings.identity.cache_seconds,
            cache_entries=settings.identity.cache_entries,
            clock=clock,
            time=now,
        ),
        access_reviewer=access_reviewer,
        tiers=tiers,
        membership=membership,
        standings=standings,
        catalogue=catalogue,
        model_access=ModelAccess(catalogue, access_reviewer, verb=settings.models.access_verb),
        inventory=inventory,
        signing_keys=signing_keys,
        lookup=lookup,
        verifier=Verifier(
            lookup,
            inventory,
            signing_keys,
            namespace=namespace,
            audience=tokens.audience,
            entries=settings.gateway.verified_entries,
            time=now,
        ),
        issuer=Issuer(
            client,
            inventory,
            orphans,
            namespace=namespace,
            audience=tokens.audience,
            lifetimes=Lifetimes(tokens.default_seconds, tokens.min_seconds, tokens.max_seconds),
            time=now,
            mark=lambda: os.urandom(8).hex(),
        ),
        revoker=Revoker(client, inventory, namespace=namespace, clock=clock),
        orphans=orphans,
        claims=Claims(inventory, standings, corrector, wait_read=decisions.wait_synced, pace=pace),
        decisions=decisions,
        reflectors=(*decisive, *models, of_prices),
        optional=frozenset({of_prices}),
        reconcilers=making.reconcilers(parts),
        prices=prices,
        meter=Meter(
            Prometheus(usage) if usage.prometheus_url else None, cache_seconds=usage.cache_seconds, time=now
        ),
        events=events,
        stopping=stopping or asyncio.Event(),
        tracer=tracer,
        election=LeaderElection(
            client,
            name=settings.leader.lease,
            namespace=namespace,
            identity=identity,
            lease_seconds=settings.leader.lease_seconds,
            renew_seconds=settings.leader.renew_seconds,
            retry_seconds=settings.leader.retry_seconds,
            clock=clock,
            time=now,
            random=random,
            observe=metrics.observe_leader,
        ),
    )
    signing_keys.subscribe(service.verifier.forget)
    service.token_reviewer.subscribe(service.claims.note)
    return service
