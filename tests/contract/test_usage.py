"""What was used and what it costs, by the account of a real Prometheus."""

from __future__ import annotations

import csv
import io
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from app.identity.user import header_value
from app.kube.timestamps import timestamp
from tests.contract.test_admin import admin_of
from tests.history import REQUESTS, TOKENS, UNMETERED, History
from tests.loopback import free_port
from tests.prometheus import Prometheus
from tests.workspace import eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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
        series(header_value(FORMULA), "qwen3", code="200"),
        (now - 500, 1),
    )
    count(REQUESTS, series("", "", code="401"), (now - 500, 9))
    return history


pytestmark = pytest.mark.usefixtures("prometheus_programs")


@asynccontextmanager
async def remembering(history: History, directory: Path) -> AsyncIterator[Prometheus]:
    await history.write(directory)
    async with Prometheus(directory) as running:
        yield running


@pytest.fixture(scope="module")
async def prometheus(
    prometheus_programs: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    async with remembering(known_history(int(time.time())), tmp_path_factory.mktemp("known")) as running:
        yield running


@pytest.fixture
async def maas(workspace: Workspace, prometheus: Prometheus) -> AsyncIterator[Replica]:
    async with replica(workspace, usage=asking(prometheus.url)) as running:
        yield running


def asking(url: str) -> dict[str, Any]:
    return {"prometheus_url": url, "cache_seconds": 0, "timeout_seconds": 5}


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


async def test_only_ones_own_usage_is_seen(maas: Replica) -> None:
    bob = await maas.caller("bob")
    usage = await answer(bob, "?window=2h&model=qwen3")
    assert (usage["models"], usage["total"]["requests"], usage["total"]["cost"]) == ([], 0, None)


ABSURD = ['a"b', "a\\b", "a\nb", 'a"} or {b="', "^.*$", "a|b", "Zoë Ünal 用户 😀", "a%20b", "x" * 500]


@pytest.fixture(scope="module")
async def absurd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    now, history = int(time.time()), History()
    for number, username in enumerate(ABSURD):
        # As the gateway has it, and as Limitador has it.
        envoy = series(header_value(username), f"envoy-{number}", code="200")
        history.add(REQUESTS, envoy, [(now - 300, 3)])
        history.add(REQUESTS, series(username, f"limitador-{number}"), [(now - 300, 4)])
    for other in ("ab", "a b", "a"):
        history.add(REQUESTS, series(other, "others", code="200"), [(now - 300, 1000)])
    async with remembering(history, tmp_path_factory.mktemp("absurd")) as running:
        yield running


async def test_absurd_names_see_their_own_usage_and_no_others(
    workspace: Workspace, absurd: Prometheus
) -> None:
    async with replica(workspace, usage=asking(absurd.url)) as maas:
        for number, username in enumerate(ABSURD):
            usage = await answer(await maas.caller(username))
            expected = {f"envoy-{number}": 3, f"limitador-{number}": 4}
            if "%" in username:
                # By this name Envoy counts for somebody else.
                del expected[f"limitador-{number}"]
            assert {model["model"]: model["requests"] for model in usage["models"]} == expected


async def test_what_is_left_of_my_limits_is_told_as_of_the_last_scrape(
    workspace: Workspace, tmp_path: Path
) -> None:
    now = int(time.time())
    history = History()
    history.add(REQUESTS, series("alice", "one", code="200"), [(now - 70, 20), (now - 15, 24)])
    history.add(REQUESTS, series("alice", "two", code="500"), [(now - 15, 3)])
    history.add(REQUESTS, series("alice", "one", code="429"), [(now - 15, 50)])
    history.add(TOKENS, series("alice", "one", type="prompt"), [(now - 70, 100), (now - 15, 1500)])
    async with (
        remembering(history, tmp_path) as prometheus,
        replica(workspace, usage=asking(prometheus.url)) as maas,
    ):
        alice = await maas.caller("alice")
        limits = (await answer(alice))["limits"]
        assert limits == {
            "tier": "free",
            "asOf": timestamp(now - 15),
            "requestsPerMinute": {"limit": 10, "used": 7, "remaining": 3},
            "tokensPerMinute": None,
        }
        rate = "{requestsPerMinute: 5, tokensPerMinute: 2000}"
        await workspace.map_tiers(f"tiers: {{basic: {{groups: [system:authenticated], rateLimit: {rate}}}}}")

        async def changed() -> bool:
            return bool((await answer(alice))["limits"]["tier"] == "basic")

        await eventually(changed)
        limits = (await answer(alice))["limits"]
        assert limits["requestsPerMinute"] == {"limit": 5, "used": 7, "remaining": 0}
        assert limits["tokensPerMinute"] == {"limit": 2000, "used": 1400, "remaining": 600}


async def test_a_limit_of_which_nothing_is_known_is_not_said_to_be_unused(
    workspace: Workspace, tmp_path: Path
) -> None:
    now = int(time.time())
    history = History()
    history.add(REQUESTS, series("alice", "one", code="200"), [(now - 200, 20)])
    async with (
        remembering(history, tmp_path) as prometheus,
        replica(workspace, usage=asking(prometheus.url)) as maas,
    ):
        limits = (await answer(await maas.caller("alice")))["limits"]
        assert limits["asOf"] == timestamp(now - 200)
        assert limits["requestsPerMinute"] == {"limit": 10, "used": None, "remaining": None}


async def test_usage_is_unknown_rather_than_nothing_where_users_are_not_recorded(
    workspace: Workspace, tmp_path: Path
) -> None:
    now = int(time.time())
    history = History()
    history.add(REQUESTS, series("", "qwen3", code="200"), [(now - 300, 20)])
    async with (
        remembering(history, tmp_path) as prometheus,
        replica(workspace, usage=asking(prometheus.url)) as maas,
    ):
        alice, admin = await maas.caller("alice"), await admin_of(maas, "list")
        await eventually(lambda: allowed(admin))
        for caller, path in (
            (alice, "/maas-api/usage"),
            (admin, "/maas-api/admin/usage?by=user"),
            (admin, "/maas-api/admin/usage?by=tier&user=alice"),
        ):
            response = await caller.get(path)
            assert (response.status_code, response.json()["code"]) == (501, "users_not_recorded")
        by_tier = await admin.get("/maas-api/admin/usage?by=tier")
        assert [(row["tier"], row["requests"]) for row in by_tier.json()["rows"]] == [("free", 20)]


async def test_what_was_never_recorded_is_nothing_as_of_never(workspace: Workspace, tmp_path: Path) -> None:
    async with Prometheus(tmp_path) as prometheus, replica(workspace, usage=asking(prometheus.url)) as maas:
        usage = await answer(await maas.caller("alice"))
        assert (usage["total"]["requests"], usage["complete"], usage["limits"]["asOf"]) == (0, False, None)


async def allowed(admin: Caller) -> bool:
    return (await admin.get("/maas-api/admin/tokens")).status_code == 200


async def test_who_may_list_service_accounts_sees_everybodys_usage(maas: Replica) -> None:
    await priced(maas)
    admin = await admin_of(maas, "list")
    await eventually(lambda: allowed(admin))
    usage = (await admin.get("/maas-api/admin/usage?window=2h&by=model&by=user")).json()
    assert usage["by"] == ["user", "model"]
    assert [(row["user"], row["model"], row["requests"], row["cost"]) for row in usage["rows"]] == [
        ("", "", 9, None),
        (FORMULA, "qwen3", 1, "0.001"),
        ("alice", "new", 5, None),
        ("alice", "qwen3", 14, "0.0101405"),
    ]
    assert usage["total"]["requests"] == 29
    assert usage["total"]["cost"] == "0.0111405"
    assert (usage["unpriced"], usage["currency"], usage["complete"]) == (["new"], "EUR", True)

    by_user = (await admin.get("/maas-api/admin/usage?window=2h")).json()
    assert [(row["user"], row["requests"], row["cost"]) for row in by_user["rows"]] == [
        ("", 9, None),
        (FORMULA, 1, "0.001"),
        ("alice", 19, "0.0101405"),
    ]
    one = (
        await admin.get("/maas-api/admin/usage", params={"window": "2h", "by": "tier", "user": FORMULA})
    ).json()
    assert [(row["tier"], row["requests"]) for row in one["rows"]] == [("free", 1)]
    of_model = (await admin.get("/maas-api/admin/usage?window=2h&model=new&tier=free")).json()
    assert of_model["total"]["requests"] == 5


async def test_the_table_for_chargeback_has_the_same_numbers_and_no_formulas(maas: Replica) -> None:
    await priced(maas)
    admin = await admin_of(maas, "list")
    await eventually(lambda: allowed(admin))
    path = "/maas-api/admin/usage?window=2h&by=user&by=model"
    document = (await admin.get(path)).json()
    response = await admin.get(path, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.headers["vary"] == "Accept"
    assert response.text.count("\r\n") == len(document["rows"]) + 1
    lines = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert lines[1]["user"] == f"'{FORMULA}"
    for line, row in zip(lines, document["rows"], strict=True):
        assert line["user"].removeprefix("'") == row["user"]
        assert (line["cost"] or None) == row["cost"]
        assert line["currency"] == "EUR"
    for name in ("requests", "refused", "promptTokens", "completionTokens", "unmetered"):
        assert sum(int(line[name]) for line in lines) == document["total"][name]
    assert sum(Decimal(line["cost"] or 0) for line in lines) == Decimal(document["total"]["cost"])


async def test_everybodys_usage_is_not_for_everybody(maas: Replica) -> None:
    response = await (await maas.caller("alice")).get("/maas-api/admin/usage")
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await maas.public.get("/maas-api/usage")).status_code == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("window=32d", "invalid_window"),
        ("window=30s", "invalid_window"),
        ("window=0", "invalid_window"),
        ("window=1h&step=7m", "invalid_window"),
        ("window=1h&step=2h", "invalid_window"),
        ("window=1h&step=30s", "invalid_window"),
        ("window=31d&step=1m", "invalid_window"),
        ("window=soon", "invalid_request"),
        ("window=", "invalid_request"),
        ("window=-1h", "invalid_request"),
        (f"window={'9' * 5000}h", "invalid_request"),
        ("step=%00", "invalid_request"),
        ("model=", "invalid_request"),
        (f"model={'x' * 321}", "invalid_request"),
    ],
)
async def test_windows_that_make_no_sense_are_refused(maas: Replica, query: str, code: str) -> None:
    response = await (await maas.caller("alice")).get(f"/maas-api/usage?{query}")
    assert (response.status_code, response.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    "query", ["by=code", "by=", "by=user&by=user&by=user&by=user", "user=", f"tier={'x' * 64}"]
)
async def test_questions_about_everybody_that_make_no_sense_are_refused(maas: Replica, query: str) -> None:
    admin = await admin_of(maas, "list")
    await eventually(lambda: allowed(admin))
    response = await admin.get(f"/maas-api/admin/usage?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_without_prometheus_it_says_which_setting_to_set(workspace: Workspace) -> None:
    async with replica(workspace) as maas:
        response = await (await maas.caller("alice")).get("/maas-api/usage")
        assert (response.status_code, response.json()["code"]) == (501, "usage_not_configured")
        assert "MAAS_USAGE_PROMETHEUS_URL" in response.json()["detail"]


async def test_while_prometheus_is_away_it_says_so_and_nothing_else_suffers(workspace: Workspace) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with replica(workspace, usage=asking(url)) as maas:
        alice = await maas.caller("alice")
        response = await alice.get("/maas-api/usage")
        assert (response.status_code, response.json()["code"]) == (503, "usage_unavailable")
        assert response.headers["retry-after"]
        assert url not in response.text
        assert (await alice.issue()).status_code == 201
        assert (await maas.public.get("/maas-api/readyz")).json()["status"] == "ok"
