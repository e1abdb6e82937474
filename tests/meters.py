"""What a gateway has counted, under the names that Prometheus gives it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.embedded.prometheus import METER_NAMES
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from app.embedded.gateway import LocalGateway

Labels = dict[str, str]

REQUESTS = "maas_gateway_requests_total"
TOKENS = "maas_gateway_tokens_total"
UNMETERED = "maas_gateway_unmetered_total"
_SECONDS = 15  # Envoy adds up its histograms every five.


class Meter:
    """The series of a gateway.

    Args:
        scrape: gives what Envoy answers to Prometheus.
    """

    def __init__(self, scrape: Callable[[], Awaitable[str]]) -> None:
        self._scrape = scrape

    @classmethod
    def of(cls, gateway: LocalGateway) -> Meter:
        host, port = gateway.admin
        return cls.at(f"http://{host}:{port}")

    @classmethod
    def at(cls, admin: str) -> Meter:
        """The meter of the Envoy whose admin interface is there."""

        async def scrape() -> str:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{admin}/stats/prometheus")).text

        return cls(scrape)

    async def read(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels, among others."""
        series = named_series(await self._scrape())
        return sum(value for found, has, value in series if found == name and labels.items() <= has.items())

    async def labels(self, name: str) -> list[Labels]:
        return [labels for found, labels, _ in named_series(await self._scrape()) if found == name]

    async def reads(self, value: float, name: str, **labels: str) -> None:
        """Wait until it reads `value`: requests are counted when they have ended on both sides."""

        async def settled() -> bool:
            return await self.read(name, **labels) == value

        await eventually(settled, seconds=_SECONDS)


def named_series(exposition: str) -> Iterator[tuple[str, Labels, float]]:
    """Name, labels that are not empty and value of every series that the rules for Prometheus name."""
    (rule,) = METER_NAMES
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            # Prometheus' rules match the whole name and take its first group.
            if named := re.fullmatch(rule["regex"], sample.name):
                yield named[1], {name: value for name, value in sample.labels.items() if value}, sample.value
