"""What was used and what it costs, by the account of a real Prometheus."""

from __future__ import annotations

import csv
import io
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.test_admin import admin_of
from tests.history import REQUESTS, TOKENS, UNMETERED, History
from tests.prometheus import Prometheus, missing_prometheus
from tests.workspace import eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workspace import Caller, Replica, Workspace

HOUR = 3600
PRICES = """
currency: EUR
models:
  qwen3: {prompt: 0.10, completion: 0.3, request: 0.001}
  free-of-charge: {prompt: 0}
"""
FORMULA = '=HYPERLINK("http://x","y")'


def series(user: str, model: str, **labels: str) -> dict[str, str]:
    return {"user": user, "tier": "free", "model": model, "instance": "envoy-1", **labels}


def known_history(now: int) -> History:
    """Alice's and others' requests of some hours; nothing of it in the last minutes but hers."""
    history = History()

    def count(counter: str, labels: dict[str, str], *samples: tuple[float, float]) -> None:
        history.add(counter, labels, samples)

    # Seen for three hours: 100 before the last two, 7 in the first of these and 3 in the second.
    at = [(now - 3 * HOUR, 60), (now - 2 * HOUR - 30, 100), (now - HOUR - 30, 107), (now - 20, 110)]
    count(REQUESTS, series("alice", "qwen3", code="200"), *at)
    # Its only samples are in the last two hours.
    count(REQUESTS, series("alice", "qwen3", code="429"), (now - 90, 3), (now - 20, 4))
    count(TOKENS, series("alice", "qwen3", type="prompt"), (now - 90, 1000), (now - 20, 1234))
    count(TOKENS, series("alice", "qwen3", type="completion"), (now - 90, 50), (now - 20, 57))
    count(UNMETERED, series("alice", "qwen3"), (now - 20, 2))
    count(REQUESTS, series("alice", "new", code="200"), (now - 2000, 5))
    count(
        REQUESTS,
        series(FORMULA.replace("=", "%3D", 1).replace('"', "%22"), "qwen3", code="200"),
        (now - 500, 1),
    )
    count(REQUESTS, series("", "", code="401"), (now - 500, 9))
    return history


@pytest.fixture
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    if reason := missing_prometheus():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("prometheus")
    await known_history(int(time.time())).write(directory)
    async with Prometheus(directory) as running:
        yield running


@pytest.fixture
async def maas(workspace: Workspace, prometheus: Prometheus) -> AsyncIterator[Replica]:
    async with replica(workspace, usage={"prometheus_url": prometheus.url, "cache_seconds": 1}) as running:
        yield running


async def priced(maas: Replica, prices: str = PRICES) -> None:
    await maas.workspace.set_prices(prices)
    await eventually(lambda: maas.service.prices.prices.models)


async def answer(caller: Caller, query: str = "") -> dict[str, Any]:
    response = await caller.get(f"/maas-api/usage{query}")
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def test_my_usage_has_every_request_and_token_and_what_they_cost(maas: Replica) -> None:
    await priced(maas)
    alice = await maas.caller("alice")
    usage = await answer(alice, "?window=2h")
    qwen3 = {
        "requests": 14,
        "refused": 4,
        "promptTokens": 1234,
        "completionTokens": 57,
        "unmetered": 2,
        # 1234 * 0.10 / 10⁶ + 57 * 0.3 / 10⁶ + 10 * 0.001
        "cost": "0.0101405",
        "exact": True,
    }
    new = {"requests": 5, "refused": 0, "promptTokens": 0, "completionTokens": 0, "unmetered": 0}
    assert usage["models"] == [
        {"model": "new", **new, "cost": None, "exact": True},
        {"model": "qwen3", **qwen3},
    ]
    assert usage["total"] == {**qwen3, "requests": 19}
    assert (usage["currency"], usage["unpriced"], usage["complete"]) == ("EUR", ["new"], True)
    assert usage["steps"] is None


async def test_steps_add_up_to_the_total(maas: Replica) -> None:
    await priced(maas)
    alice = await maas.caller("alice")
    usage = await answer(alice, "?window=2h&step=1h&model=qwen3")
    assert [step["requests"] for step in usage["steps"]] == [7, 7]
    assert usage["steps"][0]["to"] == usage["steps"][1]["from"]
    assert (usage["steps"][0]["from"], usage["steps"][1]["to"]) == (usage["from"], usage["to"])
    for name in ("requests", "refused", "promptTokens", "completionTokens", "unmetered"):
        assert sum(step[name] for step in usage["steps"]) == usage["total"][name]
    assert sum(Decimal(step["cost"]) for step in usage["steps"]) == Decimal(usage["total"]["cost"])
