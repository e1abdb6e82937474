"""Draws the dashboards of docs/: `python -m tests.observability.pictures docs/images` (three minutes).

A platform runs on this machine with people who use it, and a real Prometheus watches. What the dashboards'
queries answer is drawn.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.dashboards import View, all_values, dashboard, panels
from tests.maasctl import up
from tests.observability.drawing import Line, draw, legend
from tests.observability.test_dashboards import COST, LIMITS, USAGE
from tests.observability.traffic import Ledger, Person, person
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECONDS = 150
_SCRAPE_SECONDS = 2
_RATE_SECONDS = 12
_TIERS = {"alice": "free", "bob": "premium", "carol": "enterprise"}
_PAUSES = {"alice": 4.5, "bob": 1.0, "carol": 0.3}
_MODELS = {
    "alice": ("qwen3", "facebook-opt-125m"),
    "bob": ("qwen3", "granite-7b", "facebook-opt-125m"),
    "carol": ("qwen3", "granite-7b", "mixtral-8x7b"),
}
_TEXT = "tell me how a gateway counts the tokens of every answer and who has to pay for them in the end"


async def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        state = Path(temporary)
        async with up(state / "state", "--per-token=0.01", "--first-token=0.05") as platform:
            jobs = yaml.safe_load((platform.state_dir / "prometheus.yml").read_text())["scrape_configs"]
            async with Prometheus(
                state / "prometheus", scrape_configs=jobs, seconds=_SCRAPE_SECONDS
            ) as watching:
                await watching.scraped()
                started, ledger = time.time(), Ledger()
                users = [await person(platform, ledger, name, tier) for name, tier in _TIERS.items()]
                until = time.monotonic() + _SECONDS
                await asyncio.gather(*(_use(user, random.Random(user.user), until) for user in users))  # noqa: S311
                await watching.scraped()
                end = time.time()
                for path in (USAGE, LIMITS, COST):
                    answers = await _answers(watching, path, started, end)
                    (folder / f"{path.stem}.svg").write_text(draw(dashboard(path), answers))


async def _use(user: Person, choice: random.Random, until: float) -> None:
    """Ask and ask, with pauses, and twice as often in the middle of the time."""
    begun = time.monotonic()
    while (now := time.monotonic()) < until:
        model = choice.choice(_MODELS[user.user])
        text = " ".join(choice.choices(_TEXT.split(), k=choice.randint(5, 40)))
        kind = choice.random()
        if kind < 0.15 and user.user != "alice":
            await user.embed(model, text, text)
        elif kind < 0.6:
            await user.stream(model, text, usage=choice.random() < 0.5)
        else:
            await user.chat(model, text)
        busy = 1 + (abs((now - begun) / (until - begun) - 0.5) < 0.2)
        await asyncio.sleep(choice.expovariate(busy / _PAUSES[user.user]))


async def _answers(
    watching: Prometheus, path: Path, start: float, end: float
) -> Mapping[int, Sequence[Sequence[Line]]]:
    view = View(all_values(path), round(end - start), _RATE_SECONDS)
    found: dict[int, list[list[Line]]] = {}
    for _, panel in panels(path):
        for target in panel["targets"]:
            expression, template = view.expression(target["expr"]), target["legendFormat"]
            if target.get("instant"):
                samples = await watching.query(expression, at=end)
                series = [(sample.labels, [(end, sample.value)]) for sample in samples]
            else:
                series = await watching.query_range(expression, start=start, end=end, step=_SCRAPE_SECONDS)
            lines = [Line(labels, legend(template, labels), points) for labels, points in series]
            found.setdefault(panel["id"], []).append(lines)
    return found


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
