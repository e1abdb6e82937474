"""What a Prometheus of tests remembers, made up sample by sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.prometheus import promtool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

REQUESTS, TOKENS, UNMETERED = (f"maas_gateway_{name}_total" for name in ("requests", "tokens", "unmetered"))


@dataclass
class History:
    """Counters and their samples, for a Prometheus that is yet to start."""

    _samples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, counter: str, labels: Mapping[str, str], samples: Iterable[tuple[float, float]]) -> None:
        """A series of a counter: its values by their times, in seconds since the epoch."""
        lines = self._samples.setdefault(counter.removesuffix("_total"), [])
        written = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items() if value)
        lines += [f"{counter}{{{written}}} {value:g} {at:.3f}" for at, value in samples]

    async def write(self, directory: Path) -> None:
        """Put it where a Prometheus of this directory finds it."""
        lines = []
        for family, samples in self._samples.items():
            lines += [f"# TYPE {family} counter", *samples]
        file = directory / "history.txt"
        file.write_text("\n".join([*lines, "# EOF\n"]))
        data = directory / "data"
        code, output = await promtool("tsdb", "create-blocks-from", "openmetrics", file, data)
        assert code == 0, output


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
