"""Where metrics are made, described and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric

_PREFIX = "maas_"
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Types of which the client library tells with a gauge more when each of their series began.
_DATED = ("counter", "histogram", "summary")


@dataclass(frozen=True, slots=True)
class Description:
    """What a metric is, for its documentation.

    Attributes:
        name: as Prometheus has it, a counter's with its `_total`.
        type: ``counter``, ``gauge`` or ``histogram``.
        labels: their names.
        meaning: in words.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


class Registry(CollectorRegistry):
    """The metrics of one process; names are given to it without their ``maas_``.

    Attributes:
        descriptions: of the metrics that were made here, in that order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.descriptions: list[Description] = []
        self._before_reading: list[Callable[[], None]] = []

    def before_reading(self, look: Callable[[], None]) -> None:
        """Call `look`, which sets what is not counted as it happens, whenever the metrics are read."""
        self._before_reading.append(look)

    def collect(self) -> Iterable[Metric]:
        """Every metric with its series of this moment.

        Without when each began, which would be a series more for each. The library's own switch for that is
        one for everybody in the process.
        """
        for look in self._before_reading:
            look()
        for family in super().collect():
            if family.type in _DATED:
                family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A counter, without its ``_total``."""
        self._describe(f"{name}_total", "counter", labels, meaning)
        return Counter(_PREFIX + name, meaning, labels, registry=self)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """A gauge."""
        self._describe(name, "gauge", labels, meaning)
        return Gauge(_PREFIX + name, meaning, labels, registry=self)

    def histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = LATENCY_BUCKETS
    ) -> Histogram:
        """A histogram of seconds; `buckets` are upper bounds."""
        self._describe(name, "histogram", labels, meaning)
        return Histogram(_PREFIX + name, meaning, labels, buckets=buckets, registry=self)

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], meaning: str) -> None:
        self.descriptions.append(Description(_PREFIX + name, kind, labels, meaning))
