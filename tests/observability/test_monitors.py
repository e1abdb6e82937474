"""What becomes of the names that are scraped, in a real Prometheus that is told what a monitor says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from starlette.responses import PlainTextResponse

from tests.kustomize import MANIFESTS
from tests.loopback import serve
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.prometheus import Sample

OBSERVABILITY = MANIFESTS / "observability"

# As Limitador 2.4 writes it, with the labels of the shipped TelemetryPolicy. Each route has a namespace.
LIMITADOR = """
# TYPE authorized_calls counter
authorized_calls{model="qwen3",tier="free",user="alice",limitador_namespace="maas/maas-inference"} 3
authorized_calls{tier="free",user="alice",limitador_namespace="maas/maas-models"} 50
authorized_calls{user="alice",limitador_namespace="maas/maas-api"} 7
authorized_calls{limitador_namespace="shop/carts"} 1000
# TYPE authorized_hits counter
authorized_hits{model="qwen3",user="alice",tier="free",limitador_namespace="maas/maas-inference"} 84
# TYPE limited_calls counter
limited_calls{model="qwen3",tier="free",user="alice",limitador_namespace="maas/maas-inference"} 2
limited_calls{tier="free",user="alice",limitador_namespace="maas/maas-models"} 9
# TYPE limitador_up gauge
limitador_up 1
"""
ENVOY = """
# TYPE envoy_maas_gateway_requests_total counter
envoy_maas_gateway_requests_total{user="alice",tier="free",model="qwen3",code="200"} 10
# TYPE envoy_maas_gateway_request_milliseconds histogram
envoy_maas_gateway_request_milliseconds_bucket{tier="free",model="qwen3",le="+Inf"} 4
envoy_maas_gateway_request_milliseconds_sum{tier="free",model="qwen3"} 12
envoy_maas_gateway_request_milliseconds_count{tier="free",model="qwen3"} 4
# TYPE envoy_http_local_rate_limit_enabled counter
envoy_http_local_rate_limit_enabled{envoy_local_http_ratelimit_prefix="http_local_rate_limiter"} 13
"""


def endpoint(path: Path) -> dict[str, Any]:
    """The one endpoint of the first monitor in a file."""
    monitor = next(iter(yaml.safe_load_all(path.read_text())))
    (found,) = monitor["spec"]["podMetricsEndpoints"]
    return dict(found)


def as_prometheus_says_it(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value for key, value in rule.items()}
        for rule in rules
    ]


async def scraped(monitor: Path, text: str, directory: Path) -> list[Sample]:
    """Everything in a Prometheus that has scraped `text` as the monitor says."""
    found = endpoint(monitor)
    async with serve(PlainTextResponse(text)) as (host, port):
        job = {
            "job_name": "job",
            "metrics_path": found["path"],
            "static_configs": [{"targets": [f"{host}:{port}"]}],
            "metric_relabel_configs": as_prometheus_says_it(found["metricRelabelings"]),
        }
        async with Prometheus(directory, scrape_configs=[job]) as watching:
            await watching.scraped()
            return await watching.query('{job="job", __name__!~"up|scrape_.*"}')


@pytest.mark.usefixtures("prometheus_programs")
async def test_of_limitador_only_inference_is_kept_and_has_the_names_of_every_profile(tmp_path: Path) -> None:
    samples = await scraped(OBSERVABILITY / "kuadrant" / "limitador.yaml", LIMITADOR, tmp_path)

    assert {sample.labels["__name__"] for sample in samples} == {"maas_gateway_requests_total"}
    assert all(
        (sample.labels["user"], sample.labels["tier"], sample.labels["model"]) == ("alice", "free", "qwen3")
        for sample in samples
    )
    assert {sample.labels.get("code"): sample.value for sample in samples} == {None: 3, "429": 2}


@pytest.mark.usefixtures("prometheus_programs")
async def test_what_the_proxies_count_has_the_names_of_every_profile(tmp_path: Path) -> None:
    samples = await scraped(OBSERVABILITY / "envoy-gateway" / "proxies.yaml", ENVOY, tmp_path)

    assert {sample.labels["__name__"]: sample.value for sample in samples} == {
        "maas_gateway_requests_total": 10,
        "maas_gateway_request_milliseconds_bucket": 4,
        "maas_gateway_request_milliseconds_sum": 12,
        "maas_gateway_request_milliseconds_count": 4,
        "envoy_http_local_rate_limit_enabled": 13,
    }
