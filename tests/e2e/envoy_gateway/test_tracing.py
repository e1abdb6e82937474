"""The overlay `kubernetes` with tracing-envoy-gateway: where its traces begin, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.settings import TracingSettings
from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.envoy_gateway.platform import Platform, platform
from tests.e2e.inference import chat
from tests.kustomize import rendered, with_component
from tests.otlp import Collector, collector
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = PATIENT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FORGED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00", "tracestate": "a=b"}


@pytest.fixture(scope="module")
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def settings(overlay: Path) -> dict[str, str]:
    """What the component tells the service."""
    (deployment,) = (document for document in rendered(overlay) if document["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


@pytest.fixture(scope="module")
async def gateway(
    envoy_gateway_program: Path, tmp_path_factory: pytest.TempPathFactory, traces: Collector
) -> AsyncIterator[Platform]:
    overlay = with_component("kubernetes", "tracing-envoy-gateway", tmp_path_factory.mktemp("overlay"))
    assert settings(overlay)["MAAS_TRACING_ENDPOINT"].endswith(":4318")
    # With a ratio of none, only what the gateway says is traced.
    tracing = TracingSettings.model_validate(
        {
            "endpoint": traces.url,
            "ratio": 0,
            "sampled_by": settings(overlay)["MAAS_TRACING_SAMPLED_BY"],
        }
    )
    directory = tmp_path_factory.mktemp("tracing")
    async with platform(envoy_gateway_program, directory, overlay=overlay, tracing=tracing) as running:
        yield running


async def test_the_service_goes_on_with_the_trace_of_the_gateway(
    gateway: Platform, traces: Collector
) -> None:
    person = gateway.person()
    issued = await person.request("POST", "/maas-api/token", headers=FORGED)
    assert issued.status_code == 201
    await traces.span("create serviceaccounts/token")
    token = await traces.span("POST /maas-api/token")
    assert token.trace_id != TRACE
    assert token.parent_id
    holder = await gateway.holder()
    response = await chat(holder, "simulator")
    assert response.status_code == 200
    decision = await traces.span("POST /internal/authorize/{path}", gen_ai__request__model="simulator")
    assert decision.parent_id
    assert decision.trace_id != token.trace_id


async def test_a_client_does_not_choose_the_trace(gateway: Platform, traces: Collector) -> None:
    response = await gateway.client.get("/maas-api/tier", headers=FORGED)
    assert response.status_code == 401
    trace_id = response.json()["traceId"]
    assert trace_id != TRACE
    await eventually(lambda: any(span.trace_id == trace_id for span in traces.spans), seconds=15)
