"""What the dashboards show is what clients saw, to the request, to the token and to the cent."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.dashboards import (
    CONSOLE,
    DASHBOARDS,
    FILES,
    IN_CLUSTERS,
    all_values,
    chosen,
    label_values,
    queries,
    variables,
)
from tests.observability.conftest import CURRENCY, PRICES, SCRAPE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.dashboards import Query
    from tests.observability.conftest import Observed
    from tests.observability.traffic import Ledger

USAGE, LIMITS, COST, GATEWAY, SERVICE = (
    DASHBOARDS / "grafana" / f"{name}.json" for name in ("usage", "limits", "cost", "gateway", "service")
)
# The others: test_dashboards_in_a_cluster.py.
HERE = [(path, query) for path in FILES for query in queries(path) if not query.row.endswith(IN_CLUSTERS)]
PERSON = ("user", "tier", "model")
ANSWERED, LIMITED = 200, 429
Figures = dict[tuple[str, ...], float]


async def values(observed: Observed, path: Path, query: Query) -> list[float]:
    """Every value that the query shows of everything until the end."""
    view = observed.view(all_values(path))
    expression, end = view.expression(query.expression), observed.end.at
    if query.instant:
        return [sample.value for sample in await observed.prometheus.query(expression, at=end)]
    found = await observed.prometheus.query_range(
        expression, start=end - view.range_seconds, end=end, step=SCRAPE_SECONDS
    )
    return [value for _, points in found for _, value in points]


async def figures(
    observed: Observed,
    path: Path,
    panel: str,
    *labels: str,
    choice: Mapping[str, str] | None = None,
    since: float | None = None,
) -> Figures:
    """The numbers of a panel by these labels; where it asks several queries, by their legends too."""
    view = observed.view({**all_values(path), **(choice or {})}, since)
    found: Figures = {}
    asked = [query for query in queries(path) if query.panel == panel]
    assert asked
    assert all(query.instant for query in asked)
    for query in asked:
        for sample in await observed.prometheus.query(view.expression(query.expression), at=observed.end.at):
            key = tuple(sample.labels.get(label, "") for label in labels)
            column = (query.legend,) if len(asked) > 1 else ()
            found[(*key, *column)] = sample.value
    return found


async def figure(
    observed: Observed, path: Path, panel: str, choice: Mapping[str, str] | None = None
) -> float:
    """The one number of a panel."""
    (found,) = (await figures(observed, path, panel, choice=choice)).values()
    return found


def summed(amounts: Mapping[Any, float], labels: Sequence[str], *, of: Sequence[str] = PERSON) -> Figures:
    """The sums by these labels of amounts whose keys are made `of` those."""
    sums: Counter[tuple[str, ...]] = Counter()
    for entry, amount in amounts.items():
        named = dict(zip(of, map(str, entry), strict=False))
        sums[tuple(named[label] for label in labels)] += amount  # type: ignore[assignment]  # a Counter of any number
    return dict(+sums)


def refusals(ledger: Ledger) -> Counter[tuple[str, str, str, int]]:
    """What a limit refused."""
    return Counter({entry: count for entry, count in ledger.answers.items() if entry[3] == LIMITED})


def table(ledger: Ledger, *labels: str) -> Figures:
    """The columns that usage has in tables; where nothing was, there is no row."""
    columns: dict[str, Mapping[Any, float]] = {
        "Requests": ledger.answers,
        "Refused by limit": refusals(ledger),
        **{
            f"{kind.capitalize()} tokens": {
                entry: amount for entry, amount in ledger.tokens.items() if entry[3] == kind
            }
            for kind in ("prompt", "completion")
        },
    }
    return {
        (*entry, column): amount
        for column, amounts in columns.items()
        for entry, amount in summed(amounts, labels).items()
    }


def cost(ledger: Ledger, *labels: str) -> Figures:
    """What it costs, reckoned by hand from what clients saw."""
    costs: Counter[tuple[str, str, str]] = Counter()
    for (user, tier, model, kind), tokens in ledger.tokens.items():
        costs[user, tier, model] += tokens * PRICES.get(model, {}).get(kind, 0) / 1_000_000  # type: ignore[assignment]
    for (user, tier, model, status), count in ledger.answers.items():
        if status == ANSWERED:
            costs[user, tier, model] += count * PRICES.get(model, {}).get("request", 0)  # type: ignore[assignment]
    return {(*entry, CURRENCY): amount for entry, amount in summed(costs, labels).items()}


def seen(figures: Figures) -> Figures:
    """Without the zeros: a column that begins later than another has some."""
    return {key: value for key, value in figures.items() if value}


# Nothing is empty


@pytest.mark.parametrize(
    ("path", "query"), HERE, ids=lambda value: getattr(value, "name", None) or str(value)
)
async def test_no_panel_is_empty(observed: Observed, path: Path, query: Query) -> None:
    assert [value for value in await values(observed, path, query) if not math.isnan(value)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_every_variable_offers_what_there_was(observed: Observed, path: Path) -> None:
    ledger = observed.end.ledger
    users, tiers, models = ({entry[place] for entry in ledger.answers} for place in range(3))
    for name, variable in variables(path).items():
        selector, label = label_values(variable)
        view = observed.view(all_values(path))
        offered = await observed.prometheus.label_values(view.expression(selector), label)
        assert {*filter(None, offered)} == {"user": users, "tier": tiers, "model": models}[name]


# The numbers are true


async def test_requests_and_tokens_are_those_of_the_clients(observed: Observed) -> None:
    ledger = observed.end.ledger
    assert await figure(observed, USAGE, "Requests") == ledger.answers.total()
    assert await figure(observed, USAGE, "Tokens") == ledger.tokens.total()
    assert await figure(observed, USAGE, "Active users") == len({user for user, *_ in ledger.answers})


@pytest.mark.parametrize("path", [USAGE, CONSOLE], ids=lambda path: path.name)
async def test_usage_by_tier_user_and_model_is_that_of_the_clients(observed: Observed, path: Path) -> None:
    ledger = observed.end.ledger
    users: Figures = {("free", "Users"): 1, ("premium", "Users"): 1, ("enterprise", "Users"): 1}
    assert seen(await figures(observed, path, "Tiers", "tier")) == table(ledger, "tier") | users
    by_user = await figures(observed, path, "Users", "user", "tier")
    assert seen(by_user) == table(ledger, "user", "tier")
    assert seen(await figures(observed, path, "Models", "model")) == table(ledger, "model")


async def test_a_range_that_begins_in_the_middle_has_only_what_came_later(observed: Observed) -> None:
    later, since = observed.end.ledger - observed.middle.ledger, observed.middle.at
    by_user = await figures(observed, USAGE, "Users", "user", "tier", since=since)
    assert seen(by_user) == table(later, "user", "tier")
    assert seen(await figures(observed, USAGE, "Models", "model", since=since)) == table(later, "model")
    costs = await figures(observed, COST, "Cost by user", "user", "currency", since=since)
    assert seen(costs) == pytest.approx(cost(later, "user"), rel=1e-9)


@pytest.mark.parametrize("name", PERSON)
async def test_what_one_chooses_is_what_one_sees(observed: Observed, name: str) -> None:
    requests = {entry: count for (entry,), count in summed(observed.end.ledger.answers, [name]).items()}
    assert len(requests) >= 3
    choices = [[value] for value in requests] + [list(requests)[:2]]
    for choice in choices:
        shown = await figure(observed, USAGE, "Requests", {name: chosen(*choice)})
        assert shown == sum(requests[value] for value in choice)


async def test_refusals_by_limit_are_those_of_the_clients(observed: Observed) -> None:
    ledger = observed.end.ledger
    refused = refusals(ledger)
    assert refused.total() > 1
    assert await figure(observed, LIMITS, "Refused requests") == refused.total()
    share = refused.total() / ledger.answers.total()
    assert await figure(observed, LIMITS, "Refused share") == pytest.approx(share)
    assert await figure(observed, LIMITS, "Stopped users") == 1
    assert await figure(observed, LIMITS, "Stopped share of users") == pytest.approx(1 / 3)
    assert seen(await figures(observed, LIMITS, "Who was refused", *PERSON)) == summed(refused, PERSON)


async def test_every_answer_is_there_by_status(observed: Observed) -> None:
    ledger = observed.end.ledger
    statuses = Counter(summed(ledger.answers, ["code"], of=(*PERSON, "code")))
    statuses.update({(str(status),): count for status, count in ledger.refused.items()})
    shown = seen(await figures(observed, GATEWAY, "Answers by status", "code", "tier", "model"))
    assert summed(shown, ["code"], of=("code", "tier", "model")) == statuses
    known = {(str(code), tier, model) for _, tier, model, code in ledger.answers}
    assert {entry for entry in shown if entry[0] in {str(ANSWERED), str(LIMITED)}} == known
    assert await figure(observed, GATEWAY, "Failed share") == 0


async def test_answers_without_usage_are_counted(observed: Observed) -> None:
    unmetered = summed(observed.end.ledger.unmetered, ["model"])
    shown = await figures(observed, GATEWAY, "Unmetered answers by model", "model")
    assert seen(shown) == unmetered
    assert await figure(observed, GATEWAY, "Unmetered answers") == sum(unmetered.values())


@pytest.mark.parametrize("path", [COST, CONSOLE], ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("panel", "labels"),
    [("Cost by tier", ["tier"]), ("Cost by model", ["model"]), ("Cost by user", ["user", "tier"])],
)
async def test_the_cost_is_right_to_the_cent(
    observed: Observed, path: Path, panel: str, labels: list[str]
) -> None:
    shown = await figures(observed, path, panel, *labels, "currency")
    expected = cost(observed.end.ledger, *labels)
    assert shown == pytest.approx(expected, rel=1e-9)
    assert {key: round(value, 2) for key, value in shown.items()} == {
        key: round(value, 2) for key, value in expected.items()
    }
    assert sum(expected.values()) > 1


async def test_all_costs_add_up(observed: Observed) -> None:
    expected = cost(observed.end.ledger)
    assert await figures(observed, COST, "Cost", "currency") == pytest.approx(expected, rel=1e-9)
    whole = await figures(observed, COST, "Cost by user and model", *PERSON, "currency")
    assert sum(whole.values()) == pytest.approx(sum(expected.values()), rel=1e-9)
    hours = observed.view({}).range_seconds / 3600
    assert await figure(observed, COST, "Cost per hour") == pytest.approx(
        sum(expected.values()) / hours, rel=1e-9
    )


async def test_a_model_without_a_price_has_no_cost_and_is_named(observed: Observed) -> None:
    tokens = summed(observed.end.ledger.tokens, ["model"])
    without = {entry: count for entry, count in tokens.items() if entry[0] not in PRICES}
    assert without
    assert seen(await figures(observed, COST, "Tokens without a price by model", "model")) == without
    assert await figure(observed, COST, "Tokens without a price") == sum(without.values())
    assert without.keys().isdisjoint(
        entry[:1] for entry in await figures(observed, COST, "Cost by model", "model", "currency")
    )


async def test_models_count_the_tokens_that_clients_saw(observed: Observed) -> None:
    ledger, end = observed.end.ledger, observed.end.at
    counters = {"prompt": "vllm:prompt_tokens_total", "completion": "vllm:generation_tokens_total"}
    untold = {model for _, _, model in ledger.unmetered}
    for kind, counter in counters.items():
        counted = await observed.prometheus.query(f"sum by (model_name) ({counter})", at=end)
        by_model = {(sample.labels["model_name"],): sample.value for sample in counted}
        told = {
            entry: amount
            for entry, amount in ledger.tokens.items()
            if entry[3] == kind and entry[2] not in untold
        }
        expected = summed(told, ["model"])
        assert expected
        assert {key: value for key, value in by_model.items() if key[0] not in untold} == expected


async def test_the_service_shows_its_tokens(observed: Observed) -> None:
    (live,) = (query for query in queries(USAGE) if query.panel == "Live MaaS tokens by tier")
    shown = await observed.prometheus.query(live.expression, at=observed.end.at)
    assert {sample.labels["tier"]: sample.value for sample in shown} == observed.live_tokens
    assert await figure(observed, SERVICE, "Tier mapping in force") == 1
    assert await figure(observed, SERVICE, "Leaders") == 1
