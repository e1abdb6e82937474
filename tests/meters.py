"""What a gateway has counted, under the names that Prometheus gives it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.embedded.prometheus import METER_NAMES
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from app.embedded.gateway import LocalGateway

Labels = dict[str, str]
Rules = list[dict[str, Any]]

REQUESTS = "maas_gateway_requests_total"
TOKENS = "maas_gateway_tokens_total"
UNMETERED = "maas_gateway_unmetered_total"
_SECONDS = 15  # Envoy adds up its histograms every five.


class Meter:
    """The series of a gateway.

    Args:
        scrape: gives what Prometheus is answered.
        rules: what it makes of that.
    """

    def __init__(
        self, scrape: Callable[[], Awaitable[str]], rules: Sequence[Mapping[str, Any]] = METER_NAMES
    ) -> None:
        self._scrape = scrape
        self._rules = rules

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
        series = relabelled(await self._scrape(), self._rules)
        return sum(value for found, has, value in series if found == name and labels.items() <= has.items())

    async def labels(self, name: str) -> list[Labels]:
        series = relabelled(await self._scrape(), self._rules)
        return [labels for found, labels, _ in series if found == name]

    async def reads(self, value: float, name: str, **labels: str) -> None:
        """Wait until it reads `value`: requests are counted when they have ended on both sides."""

        async def settled() -> bool:
            return await self.read(name, **labels) == value

        await eventually(settled, seconds=_SECONDS)


def documented_rules(metric: str) -> Rules:
    """The `metric_relabel_configs` of docs/metrics.md that name this metric."""
    page = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (block,) = (block for block in blocks if metric in block)
    rules: Rules = yaml.safe_load(textwrap.dedent(block))["metric_relabel_configs"]
    return rules


def relabelled(
    exposition: str, rules: Sequence[Mapping[str, Any]] = METER_NAMES
) -> Iterator[tuple[str, Labels, float]]:
    """Name, labels that are not empty and value of every series, after these `metric_relabel_configs`."""
    # Told that something is a counter, the parser lets its name end in `_total`; Prometheus does not.
    samples = "".join(line for line in exposition.splitlines(keepends=True) if not line.startswith("#"))
    for family in text_string_to_metric_families(samples):
        for sample in family.samples:
            labels = {"__name__": sample.name, **sample.labels}
            for rule in rules:
                assert rule.keys() <= {"source_labels", "regex", "target_label", "replacement"}
                source = ";".join(labels.get(name, "") for name in rule["source_labels"])
                if found := re.fullmatch(rule["regex"], source):
                    template = re.sub(r"\$(\d)", r"\\\1", rule.get("replacement", "$1"))
                    labels[rule["target_label"]] = found.expand(template)
            name = labels.pop("__name__")
            yield name, {key: value for key, value in labels.items() if value}, sample.value
