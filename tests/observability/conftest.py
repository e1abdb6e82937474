"""A platform with real traffic behind it, and a real Prometheus that has watched."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from app.kube.resources import CONFIG_MAPS
from tests.clusters import admin_client
from tests.dashboards import View
from tests.loopback import free_port
from tests.maasctl import environment, up
from tests.observability.traffic import Ledger, Person, person
from tests.prometheus import Prometheus
from tests.rules import COMPOSE
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.maasctl import Up

SCRAPE_SECONDS = 0.5
RATE_SECONDS = 3
LIMITED = 429
_TIMES = "maas_gateway_request_milliseconds_count"
CURRENCY = "EUR"
# Of a million tokens, and of a request.
PRICES: dict[str, dict[str, float]] = {
    "qwen3": {"prompt": 0.15, "completion": 0.6, "request": 0.001},
    "facebook-opt-125m": {"prompt": 5000, "completion": 12500},
    "granite-7b": {"request": 0.025},
}


@dataclass(frozen=True)
class Moment:
    """A moment, and what had been seen until then.

    Attributes:
        at: seconds since the epoch; every target was scraped since the last request.
        ledger: everything until then.
    """

    at: float
    ledger: Ledger


@dataclass(frozen=True)
class Observed:
    """A platform, and what became of it.

    Attributes:
        platform: what was watched.
        prometheus: what watched.
        started: before the first request.
        middle: between two parts of the traffic.
        end: after the last request.
        live_tokens: MaaS tokens at the end, by tier.
    """

    platform: Up
    prometheus: Prometheus
    started: float
    middle: Moment
    end: Moment
    live_tokens: dict[str, int]

    def view(self, chosen: Mapping[str, str], since: float | None = None) -> View:
        """Everything until the end, or what came after `since`."""
        seconds = math.ceil(self.end.at - (since or self.started))
        return View(chosen, seconds, RATE_SECONDS)


@pytest.fixture(scope="session")
async def observed(
    prometheus_programs: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Observed]:
    directory = tmp_path_factory.mktemp("observed")
    port = free_port()
    # Windows end at multiples of what answers are kept for: whoever asks at the end is to see all of it.
    env = environment(MAAS_USAGE_PROMETHEUS_URL=f"http://127.0.0.1:{port}", MAAS_USAGE_CACHE_SECONDS="1")
    async with up(directory / "state", "--per-token=0.002", env=env) as platform:
        await _price(platform)
        # What `maasctl up` has written for people who have a Prometheus.
        written = yaml.safe_load((platform.state_dir / "prometheus.yml").read_text())
        async with Prometheus(
            directory / "prometheus",
            scrape_configs=written["scrape_configs"],
            rule_files=[COMPOSE],
            seconds=SCRAPE_SECONDS,
            port=port,
        ) as watching:
            await watching.scraped()
            started, ledger = time.time(), Ledger()
            people = await _people(platform, ledger)
            # Envoy adds up its histograms every five seconds; curves need two sums of them.
            while not await watching.query(f"changes({_TIMES}[5m]) > 1"):
                await _everyday(people)
                await watching.scraped()
            await _refusals(platform, people)
            middle = await _moment(watching, ledger)
            await _later(people)
            end = await _moment(watching, ledger)
            live = {"free": 1, "premium": 1, "enterprise": 1}
            yield Observed(platform, watching, started, middle, end, live)


async def _price(platform: Up) -> None:
    """Put the prices in force."""
    admin = await admin_client(platform.kubeconfig)
    try:
        prices = {"pricing.yaml": yaml.safe_dump({"currency": CURRENCY, "models": PRICES})}
        await admin.merge_patch(CONFIG_MAPS, "maas-pricing", {"data": prices}, namespace="maas")
    finally:
        await admin.close()

    async def in_force() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            return f'currency="{CURRENCY}"' in (await client.get(platform.metrics)).text

    await eventually(in_force)


async def _people(platform: Up, ledger: Ledger) -> dict[str, Person]:
    tiers = {"alice": "free", "bob": "premium", "carol": "enterprise"}
    return {name: await person(platform, ledger, name, tier) for name, tier in tiers.items()}


async def _everyday(people: dict[str, Person]) -> None:
    """Answers of every kind, for each tier; Alice stays below her ten requests."""
    alice, bob, carol = people["alice"], people["bob"], people["carol"]
    await alice.chat("qwen3", "What is a tier?")
    await asyncio.gather(
        bob.chat("qwen3", "How are you today?"),
        bob.complete("granite-7b", "Once upon a time", max_tokens=7),
        bob.embed("qwen3", "one text", "another, longer text"),
        bob.stream("facebook-opt-125m", "Tell me more.", usage=False),
        carol.stream("mixtral-8x7b", "And you?", usage=True),
        carol.stream("qwen3", "Good morning!", usage=True),
        carol.chat("facebook-opt-125m", "Two answers, please.", n=2, max_tokens=5),
    )


async def _refusals(platform: Up, people: dict[str, Person]) -> None:
    """What is refused: by the limit, by access, by the token, by the model's name."""
    alice, carol = people["alice"], people["carol"]
    await _refused_by_limit(alice, "facebook-opt-125m", 4)
    assert await carol.chat("no-such-model") == 404
    stranger = Person("", "", platform.person("no-token"), carol.ledger)
    assert await stranger.chat("qwen3") == 401
    assert (await stranger.caller.issue()).status_code == 401
    again = await platform.person("sha256~bob").issued(name="laptop")
    bob = platform.person("sha256~bob")
    assert (await bob.delete(f"/maas-api/tokens/{again['id']}")).status_code == 204
    revoked = Person("", "", platform.person(again["token"]), carol.ledger)
    assert await revoked.chat("qwen3") == 401
    pause = people["bob"]
    assert await pause.chat("mixtral-8x7b") == 403
    await bob.get("/maas-api/no-such-path")


async def _later(people: dict[str, Person]) -> None:
    """More of what there was, and what was not there before."""
    alice, bob, carol = people["alice"], people["bob"], people["carol"]
    await _refused_by_limit(alice, "qwen3", 2)
    await bob.complete("granite-7b", "The end")
    await bob.stream("facebook-opt-125m", "And then?", usage=False)
    await carol.embed("granite-7b", "a model that she has not called before")
    await carol.stream("qwen3", "Good night!", usage=True)


async def _refused_by_limit(someone: Person, model: str, times: int) -> None:
    """Let somebody ask until their limit has refused them so often."""
    while times:
        times -= await someone.chat(model) == LIMITED


async def _moment(watching: Prometheus, ledger: Ledger) -> Moment:
    """Now, after a second and more in which nobody sent anything: ranges are of whole seconds."""
    await watching.scraped()
    await watching.scraped()
    return Moment(time.time(), ledger.copy())
