"""What the dashboards show only where the gateway's policies follow the tier mapping."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import yaml

from tests.dashboards import GRAFANA, IN_CLUSTERS, View, queries
from tests.policies import Policies
from tests.prometheus import Prometheus
from tests.workspace import eventually, replica

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dashboards import Query
    from tests.workspace import Workspace

QUERIES = [query for path in GRAFANA for query in queries(path) if query.row.endswith(IN_CLUSTERS)]
# Other numbers than those that are shipped.
MAPPING = {"tiers": {"free": {"groups": ["system:authenticated"], "rateLimit": {"requestsPerMinute": 7}}}}


async def test_policies_that_follow_the_mapping_are_shown(
    prometheus_programs: None, workspace: Workspace, tmp_path: Path
) -> None:
    await Policies(workspace, "kuadrant").install()
    async with replica(workspace) as running:
        target = running.gateway.base_url
        jobs = [{"job_name": "maas-api", "static_configs": [{"targets": [f"{target.host}:{target.port}"]}]}]
        async with Prometheus(tmp_path, scrape_configs=jobs, seconds=0.5) as watching:

            async def shown(query: Query) -> dict[str, float]:
                expression = View({}, 300, 5).expression(query.expression)
                found = await watching.query(expression, at=time.time())
                return {sample.labels["policy"]: sample.value for sample in found}

            async def in_step() -> bool:
                return [sample.value for sample in await watching.query("maas_limits_in_step")] == [1, 1]

            assert QUERIES
            await eventually(in_step, seconds=20)
            for query in QUERIES:
                policies = await shown(query)
                assert {name.partition("/")[2] for name in policies} == {"maas-inference", "maas-models"}
                assert not any(map(math.isnan, policies.values()))

            await workspace.map_tiers(yaml.safe_dump(MAPPING))

            async def written() -> bool:
                (query,) = (query for query in QUERIES if query.panel == "Policies written per second")
                return all((await shown(query)).values())

            await eventually(written, seconds=20)
            await eventually(in_step, seconds=20)
