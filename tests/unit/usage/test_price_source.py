"""The prices in force, what is said about those that cannot be, and the metrics of both."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from app.usage.price_metrics import PriceMetrics
from app.usage.price_source import PriceSource
from app.usage.prices import Price, PriceList
from tests.kustomize import ROOT

if TYPE_CHECKING:
    import pytest

GOOD = "currency: USD\nmodels: {m: {prompt: 0.5, completion: 1, request: 0.001}, n: {request: 2}}"


def config_map(text: str) -> dict[str, dict[str, str]]:
    return {"data": {"pricing.yaml": text}}


def shown(source: PriceSource) -> list[str]:
    registry = CollectorRegistry()
    registry.register(PriceMetrics(source))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_without_a_config_map_there_are_no_prices_and_nothing_is_wrong() -> None:
    source = PriceSource()
    source.replace([], 1)
    assert (source.prices, source.error) == (PriceList(), None)
    assert shown(source) == ["maas_prices_valid 1.0"]


def test_the_last_good_prices_stay_in_force(caplog: pytest.LogCaptureFixture) -> None:
    source = PriceSource()
    source.replace([config_map(GOOD)], 1)
    for broken in (config_map("models: ["), config_map(""), {"data": None}, {}):
        source.put(broken)
        assert source.error
        assert source.prices.models["n"] == Price(request=Decimal(2))
    assert "the last good ones stay in force" in caplog.text
    assert "maas_prices_valid 0.0" in shown(source)
    source.put(config_map(GOOD))
    assert source.error is None


def test_the_same_mistake_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    source = PriceSource()
    for _ in range(3):
        source.put(config_map("currency: ["))
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_prices_that_are_deleted_are_no_longer_in_force() -> None:
    source = PriceSource()
    source.put(config_map(GOOD))
    source.put(config_map("broken: ["))
    source.remove(config_map(""))
    assert (source.prices, source.error) == (PriceList(), None)


def test_the_prices_in_force_are_shown_as_metrics_and_those_of_a_removed_model_are_not() -> None:
    source = PriceSource()
    source.put(config_map(GOOD))
    assert shown(source) == [
        'maas_model_price_per_million_tokens{currency="USD",model="m",type="prompt"} 0.5',
        'maas_model_price_per_million_tokens{currency="USD",model="m",type="completion"} 1.0',
        'maas_model_price_per_request{currency="USD",model="m"} 0.001',
        'maas_model_price_per_request{currency="USD",model="n"} 2.0',
        "maas_prices_valid 1.0",
    ]
    source.put(config_map("currency: EUR\nmodels: {n: {request: 3}}"))
    assert shown(source) == [
        'maas_model_price_per_request{currency="EUR",model="n"} 3.0',
        "maas_prices_valid 1.0",
    ]


def test_the_metrics_are_documented_as_they_are() -> None:
    documentation = (ROOT / "docs" / "metrics.md").read_text()
    for family in PriceMetrics(PriceSource()).describe():
        labels = ", ".join(f"`{label}`" for label in vars(family)["_labelnames"])
        row = f"| `{family.name}` | {family.type} | {labels} | {family.documentation} |"
        assert row in documentation.splitlines()
