"""What the dashboards show of models that fail, and of answers that say no usage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from app.embedded.prometheus import METER_NAMES
from tests.dashboards import DASHBOARDS, View, all_values, queries
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded.gateway.conftest import Stage

GATEWAY = DASHBOARDS / "grafana" / "gateway.json"


async def test_failures_and_unmetered_answers_are_shown(
    prometheus_programs: None, stage: Stage, tmp_path: Path
) -> None:
    host, port = stage.gateway.admin
    job = {
        "job_name": "envoy",
        "metrics_path": "/stats/prometheus",
        "static_configs": [{"targets": [f"{host}:{port}"]}],
        "metric_relabel_configs": METER_NAMES,
    }
    async with Prometheus(tmp_path / "prometheus", scrape_configs=[job], seconds=0.5) as watching:
        for _ in range(3):
            assert (await stage.chat("premium:bob")).status_code == 200
        assert (await stage.chat("premium:bob", "granite")).status_code == 200
        stage.model.answer = lambda _: JSONResponse({}, status_code=500)
        assert (await stage.chat("premium:bob")).status_code == 500
        await watching.scraped()

        async def shown(panel: str, label: str) -> dict[str, float]:
            (query,) = (query for query in queries(GATEWAY) if query.panel == panel)
            expression = View(all_values(GATEWAY), 60, 5).expression(query.expression)
            found = await watching.query(expression, at=time.time())
            return {sample.labels.get(label, ""): sample.value for sample in found}

        assert await shown("Unmetered answers by model", "model") == {"opt": 3, "granite": 1}
        assert await shown("Unmetered answers", "") == {"": 4}
        assert await shown("Failed share", "") == {"": 0.2}
        assert await shown("Requests", "") == {"": 5}
