"""The OpenAPI document says what the API does."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import just
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.loopback import serve
from tests.workspace import replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from tests.workspace import Replica, Workspace


async def document_of(maas: Replica) -> dict[str, Any]:
    document: dict[str, Any] = (await maas.public.get("/maas-api/openapi.json")).json()
    return document


async def test_every_operation_declares_its_errors_and_its_security(maas: Replica) -> None:
    document = await document_of(maas)
    assert "/maas-api/token" in document["paths"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            if path.endswith(("healthz", "readyz")):
                continue
            assert operation["security"], path
            assert {"401", "503"} <= operation["responses"].keys(), path


async def test_problem_documents_and_examples_are_described(maas: Replica) -> None:
    document = await document_of(maas)
    schemas = document["components"]["schemas"]
    assert schemas["ProblemDocument"]["properties"].keys() >= {"code", "requestId"}
    assert list(schemas["IssuedToken"]["properties"])[:3] == ["token", "tier", "expiresAt"]
    issue = document["paths"]["/maas-api/token"]["post"]
    assert issue["requestBody"]["required"] is False
    assert "4h" in str(issue["requestBody"])


async def test_the_documentation_page_is_there(maas: Replica) -> None:
    response = await maas.public.get("/maas-api/docs")
    assert response.status_code == 200
    assert "/maas-api/openapi.json" in response.text


async def test_the_documentation_page_needs_nothing_from_elsewhere(maas: Replica) -> None:
    page = (await maas.public.get("/maas-api/docs")).text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) >= 3
    for source in sources:
        assert source.startswith("/maas-api/docs/assets/")
        assert (await maas.public.get(source)).status_code == 200


async def nothing_was_used(_request: Request) -> Response:
    return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": []}})


@pytest.fixture
async def with_prometheus(workspace: Workspace) -> AsyncIterator[Replica]:
    """One to which every endpoint is set up."""
    app = Starlette(routes=[Route("/api/v1/{question}", nothing_was_used)])
    async with serve(app) as (host, port):
        usage = {"prometheus_url": f"http://{host}:{port}"}
        async with replica(workspace, usage=usage) as running:
            yield running


async def test_schemathesis_finds_nothing(with_prometheus: Replica) -> None:
    maas = with_prometheus
    document = await document_of(maas)
    caller = await maas.workspace.person("alice")
    holder = (await (await maas.caller("alice")).issued())["token"]
    schema = schemathesis.openapi.from_dict(document)

    def explore() -> None:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            token = holder if operation.path.startswith("/v1") else caller
            headers = {"Authorization": f"Bearer {token}"}

            @settings(
                max_examples=15,
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), headers=just(headers))
            def check(case: Any, headers: dict[str, str]) -> None:
                where = {"base_url": str(maas.public.base_url), "headers": headers}
                answer = case.call(**where)
                # A schema can describe `window` and `step`, but not that they fit together.
                unfit = answer.status_code == 422 and answer.json()["code"] == "invalid_window"
                case.validate_response(
                    answer,
                    headers=headers,
                    transport_kwargs=where,
                    excluded_checks=[positive_data_acceptance] if unfit else [],
                )

            check()

    await asyncio.to_thread(explore)
