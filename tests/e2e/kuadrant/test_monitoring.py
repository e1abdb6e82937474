"""What Prometheus makes of the real Limitador, told what the shipped monitor says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import statuses
from tests.monitors import LIMITADOR, scrape_config
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.kuadrant.platform import Platform

pytestmark = [pytest.mark.cluster, PATIENT, pytest.mark.usefixtures("prometheus_programs")]


async def test_requests_are_those_of_inference_and_no_others(gateway: Platform, tmp_path: Path) -> None:
    url = gateway.limitador.engine.client.base_url
    async with Prometheus(
        tmp_path, scrape_configs=[scrape_config(LIMITADOR, f"{url.host}:{url.port}")]
    ) as watching:

        async def counted() -> tuple[float, float]:
            """Requests that passed, and those over the limit."""
            await watching.scraped()
            passed, limited = [
                await watching.query(f"sum(maas_gateway_requests_total{{code={code!r}}}) or vector(0)")
                for code in ("", "429")
            ]
            return passed[0].value, limited[0].value

        before = await counted()
        holder = await gateway.holder()
        for _ in range(4):
            assert (await holder.get("/v1/models")).status_code == 200
        assert await statuses(holder, 13, "qwen3") == [200] * 10 + [429] * 3

        after = await counted()
        assert (after[0] - before[0], after[1] - before[1]) == (10, 3)
