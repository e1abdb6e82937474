"""What the parts of the service know and do not count, shown by the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.usage.price_metrics import PriceMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.service import Service


def measure(service: Service, *, now: Callable[[], float]) -> None:
    """Have the service's metrics show tokens, mapping, prices and what is heard of the Kubernetes API.

    Args:
        service: the parts.
        now: seconds since the epoch.
    """
    metrics, inventory = service.metrics, service.inventory
    tiers, catalogue = service.tiers, service.catalogue

    def show_tokens() -> None:
        live = dict.fromkeys(tiers.names, 0) | inventory.tiers
        metrics.observe_tokens(live, unreadable=inventory.unreadable, orphans=len(service.orphans))

    def show_contact() -> None:
        ages = ((each.name, each.age()) for each in service.reflectors)
        metrics.observe_contact(ages, reachable=service.decisions.connected)

    def note_mapping() -> None:
        metrics.observe_mapping(tiers.generation, valid=tiers.error is None, at=now())
        forget_gone()

    def forget_gone() -> None:
        models = {model_id for model_id, _ in catalogue.items()}
        metrics.decisions.keep(tiers=tiers.names, models=models)

    metrics.registry.register(PriceMetrics(service.prices))
    metrics.registry.before_reading(show_tokens)
    metrics.registry.before_reading(show_contact)
    tiers.subscribe(note_mapping)
    catalogue.subscribe(forget_gone)
