"""Prices, and the ConfigMap they come from."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from app.kube.resources import CONFIG_MAPS
from app.usage.prices import PriceList
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.workspace import Replica

NAME = "maas-pricing"
GOOD = "currency: USD\nmodels: {qwen3: {prompt: 0.10}, other: {request: 2}}"


async def metrics(maas: Replica) -> str:
    return (await maas.gateway.get("/metrics")).text


async def in_force(maas: Replica) -> None:
    await maas.workspace.set_prices(GOOD)
    await eventually(lambda: "qwen3" in maas.service.prices.prices.models, seconds=2)


async def test_no_prices_at_all_are_as_it_should_be(maas: Replica) -> None:
    assert maas.service.prices.prices == PriceList()
    assert (await maas.public.get("/maas-api/readyz")).json()["status"] == "ok"
    assert "maas_prices_valid 1.0" in await metrics(maas)
    assert "maas_model_price_per_million_tokens{" not in await metrics(maas)


async def test_a_change_is_in_force_within_a_second_and_seen_in_the_metrics(maas: Replica) -> None:
    await in_force(maas)
    assert (
        'maas_model_price_per_million_tokens{currency="USD",model="qwen3",type="prompt"} 0.1'
        in await metrics(maas)
    )
    await maas.workspace.set_prices("currency: EUR\nmodels: {other: {request: 3}}")
    await eventually(lambda: maas.service.prices.prices.currency == "EUR", seconds=1)
    assert "qwen3" not in await metrics(maas)
    assert 'maas_model_price_per_request{currency="EUR",model="other"} 3.0' in await metrics(maas)


@pytest.mark.parametrize(
    "broken", ["", "currency: [", "currency: USD\nmodels: {m: {prompt: -1}}", "x" * 500_000]
)
async def test_broken_prices_leave_the_last_good_ones_in_force_and_it_says_so(
    maas: Replica, broken: str
) -> None:
    await in_force(maas)
    await maas.workspace.set_prices(broken)
    await eventually(lambda: maas.service.prices.error, seconds=2)
    assert maas.service.prices.prices.models["qwen3"].prompt == Decimal("0.10")
    ready = await maas.public.get("/maas-api/readyz")
    assert ready.status_code == 200
    assert ready.json()["problems"] == ["the prices were rejected; the last good ones are in force"]
    assert "maas_prices_valid 0.0" in await metrics(maas)
    await maas.workspace.set_prices(GOOD)
    await eventually(lambda: maas.service.prices.error is None, seconds=2)


async def test_prices_that_are_deleted_are_no_longer_in_force(maas: Replica) -> None:
    await in_force(maas)
    await maas.workspace.cluster.admin.delete(CONFIG_MAPS, NAME, namespace=maas.workspace.namespace)
    await eventually(lambda: maas.service.prices.prices == PriceList(), seconds=2)
    assert (await maas.public.get("/maas-api/readyz")).json()["status"] == "ok"


async def test_other_config_maps_are_not_read(maas: Replica) -> None:
    namespace = maas.workspace.namespace
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "other", "namespace": namespace},
    }
    await maas.workspace.cluster.admin.create(
        CONFIG_MAPS, {**manifest, "data": {"pricing.yaml": "currency: ["}}, namespace=namespace
    )
    await in_force(maas)
    assert maas.service.prices.error is None
