"""What the service says was used is what clients saw and what dashboards show, to the cent."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.observability.conftest import CURRENCY, PRICES
from tests.observability.test_dashboards import (
    COST,
    PERSON,
    cost,
    figures,
    refusals,
    summed,
)

if TYPE_CHECKING:
    from tests.observability.conftest import Observed

ALL = {"window": "1h", "by": list(PERSON)}


async def told(observed: Observed, who: str, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await observed.platform.person(who).request("GET", f"/maas-api{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["total"]["exact"] is True
    return document


async def test_what_everybody_used_is_what_the_clients_saw(observed: Observed) -> None:
    ledger = observed.end.ledger
    document = await told(observed, "sha256~admin", "/admin/usage", **ALL)
    rows = {tuple(row[label] for label in PERSON): row for row in document["rows"] if row["user"]}
    for field, expected in (
        ("requests", summed(ledger.answers, PERSON)),
        ("refused", summed(refusals(ledger), PERSON)),
        ("promptTokens", {key[:3]: count for key, count in ledger.tokens.items() if key[3] == "prompt"}),
        (
            "completionTokens",
            {key[:3]: count for key, count in ledger.tokens.items() if key[3] == "completion"},
        ),
    ):
        assert {key: row[field] for key, row in rows.items() if row[field]} == {
            key: count for key, count in expected.items() if count
        }, field


async def test_what_everybody_costs_is_what_the_dashboard_shows_to_the_cent(observed: Observed) -> None:
    document = await told(observed, "sha256~admin", "/admin/usage", **ALL)
    shown = await figures(observed, COST, "Cost by user and model", *PERSON, "currency")
    api = {
        (*(row[label] for label in PERSON), document["currency"]): Decimal(row["cost"])
        for row in document["rows"]
        if row["cost"] is not None and Decimal(row["cost"])
    }
    assert api
    assert {key: round(float(value), 9) for key, value in api.items()} == {
        key: round(value, 9) for key, value in shown.items() if value
    }
    (total,) = (await figures(observed, COST, "Cost", "currency")).values()
    assert f"{Decimal(document['total']['cost']):.2f}" == f"{total:.2f}"


async def test_the_bill_as_csv_says_the_same(observed: Observed) -> None:
    admin = observed.platform.person("sha256~admin")
    answer = await admin.request(
        "GET",
        "/maas-api/admin/usage",
        params={"window": "1h", "by": ["user"]},
        headers={"Accept": "text/csv"},
    )
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    expected = cost(observed.end.ledger, "user")
    for user in ("alice", "bob", "carol"):
        assert float(rows[user]["cost"]) == pytest.approx(expected[user, CURRENCY], rel=1e-9)


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
async def test_people_see_their_own_and_nobody_elses(observed: Observed, name: str) -> None:
    ledger = observed.end.ledger
    document = await told(observed, f"sha256~{name}", "/usage", window="1h")
    requests = {
        model: count
        for (user, model), count in summed(ledger.answers, ["user", "model"]).items()
        if user == name
    }
    assert {entry["model"]: entry["requests"] for entry in document["models"]} == requests
    expected = cost(ledger, "user")[name, CURRENCY]
    assert float(document["total"]["cost"]) == pytest.approx(expected, rel=1e-9)
    assert set(document["unpriced"]) == requests.keys() - PRICES.keys()
