"""The prices in force as metrics, so that dashboards and alerts can reckon with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.usage.price_source import PriceSource


class PriceMetrics(Collector):
    """Shows what is in force whenever the metrics are read; a model without a price has no series."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without their series."""
        yield _per_tokens()
        yield _per_request()
        yield _valid()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with their series of now."""
        prices = self._source.prices
        per_tokens, per_request, valid = _per_tokens(), _per_request(), _valid()
        for model, price in prices.models.items():
            for kind, amount in (("prompt", price.prompt), ("completion", price.completion)):
                if amount is not None:
                    per_tokens.add_metric([model, kind, prices.currency], float(amount))
            if price.request is not None:
                per_request.add_metric([model, prices.currency], float(price.request))
        valid.add_metric([], self._source.error is None)
        yield per_tokens
        yield per_request
        yield valid


def _per_tokens() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "maas_model_price_per_million_tokens",
        "Price of a million tokens in force; a model without a price has none.",
        labels=["model", "type", "currency"],
    )


def _per_request() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "maas_model_price_per_request",
        "Price of one answered request in force; a model without such a price has none.",
        labels=["model", "currency"],
    )


def _valid() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "maas_prices_valid",
        "1 if the prices in force are those of the ConfigMap, or there is none; 0 if it was rejected.",
        labels=[],
    )
