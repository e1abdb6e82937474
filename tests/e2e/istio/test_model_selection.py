"""The filters of the shipped EnvoyFilter, run by Envoy in the order in which Istio puts them.

A filter of the test stands in for Kuadrant's, which cannot be had here: it lets everything pass, as alice of
the tier free, and allows the model that the client asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from app.embedded.gateway.binary import find_envoy
from tests.control_plane.ports import ReservedPort
from tests.control_plane.process import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANIFEST = Path(__file__).parents[3] / "manifests" / "policies" / "istio" / "model-selection.yaml"
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MEBIBYTE = 2**20
STAND_IN = """
function envoy_on_request(request)
  local headers = request:headers()
  headers:add("x-maas-user", "alice")
  headers:add("x-maas-tier", "free")
  headers:add("x-maas-model", headers:get("x-maas-requested-model") or "")
end
"""


def patched() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The HTTP filters and the listener's fields, once Istio has applied Kuadrant's patch and then ours."""
    filters: list[dict[str, Any]] = [
        {
            "name": "stand-in",
            "typed_config": {
                "@type": f"{HTTP}.lua.v3.Lua",
                "default_source_code": {"inline_string": STAND_IN},
            },
        },
        {"name": "router", "typed_config": {"@type": f"{HTTP}.router.v3.Router"}},
    ]
    listener: dict[str, Any] = {}
    for config in yaml.safe_load(MANIFEST.read_text())["spec"]["configPatches"]:
        patch = config["patch"]
        if config["applyTo"] == "LISTENER":
            listener |= patch["value"]
        elif patch["operation"] == "INSERT_FIRST":
            filters.insert(0, patch["value"])
        else:
            assert patch["operation"] == "INSERT_BEFORE"
            filters.insert(-1, patch["value"])
    return filters, listener


def answers(name: str, **match: Any) -> dict[str, Any]:
    """A route that answers with its own name, and with the x-maas headers that its backend would get."""
    told = "".join(
        f" {header}=[%REQ(x-maas-{header})%]" for header in ("user", "tier", "model", "requested-model")
    )
    return {
        "match": {"prefix": "/", **match},
        "direct_response": {"status": 200, "body": {"inline_string": name}},
        "response_headers_to_add": [{"header": {"key": "told", "value": told.strip()}}],
    }


def bootstrap(port: int) -> dict[str, Any]:
    filters, listener = patched()
    simulator = {"name": "x-maas-model", "string_match": {"exact": "simulator"}}
    routes = [answers("simulator", prefix="/v1", headers=[simulator]), answers("service")]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "gateway",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    name = "envoy.filters.network.http_connection_manager"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "https",
                    "address": address,
                    "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
                    **listener,
                }
            ]
        }
    }


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    directory, port = tmp_path_factory.mktemp("envoy"), ReservedPort()
    config = directory / "envoy.json"
    config.write_text(json.dumps(bootstrap(port.number)))
    envoy = Process(
        find_envoy(),
        ["-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn"],
        log=directory / "envoy.log",
    )
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port.number}", trust_env=False, timeout=20
    ) as client:
        await envoy.start(client, "/", within_seconds=30)
        try:
            yield client
        finally:
            await envoy.kill()
            port.release()


async def ask(
    gateway: httpx.AsyncClient, body: Any, *headers: tuple[str, str], content_type: str = "application/json"
) -> httpx.Response:
    return await gateway.post(
        "/v1/chat/completions",
        content=body if isinstance(body, str) else json.dumps(body),
        headers=[("content-type", content_type), *headers],
    )


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
async def test_the_model_of_the_body_chooses_the_route(gateway: httpx.AsyncClient, content_type: str) -> None:
    answer = await ask(gateway, {"model": "simulator", "messages": []}, content_type=content_type)
    assert answer.text == "simulator"
    assert answer.headers["told"] == "user=[alice] tier=[free] model=[simulator] requested-model=[simulator]"


async def test_another_model_stays_on_the_route_of_the_service(gateway: httpx.AsyncClient) -> None:
    assert (await ask(gateway, {"model": "production/granite-7b"})).text == "service"


async def test_what_a_client_says_of_itself_is_thrown_away(gateway: httpx.AsyncClient) -> None:
    answer = await ask(
        gateway,
        {"model": "other"},
        ("X-MaaS-User", "root"),
        ("x-maas-tier", "enterprise"),
        ("x-maas-model", "simulator"),
        ("x-maas-model", "simulator"),
        ("x-maas-requested-model", "simulator"),
    )
    assert answer.text == "service"
    assert answer.headers["told"] == "user=[alice] tier=[free] model=[other] requested-model=[other]"


@pytest.mark.parametrize(
    "body",
    [
        {"model": "simulator\r\nx-maas-user: root"},
        {"model": "simulator " * 100},
        {"model": ["simulator"]},
        {"model": {"model": "simulator"}},
        {"model": None},
        [{"model": "simulator"}],
        '{"model": "simulator"',
        "",
    ],
)
async def test_a_model_that_cannot_be_one_is_none(gateway: httpx.AsyncClient, body: Any) -> None:
    answer = await ask(gateway, body)
    assert answer.text == "service"
    assert answer.headers["told"] == "user=[alice] tier=[free] model=[] requested-model=[]"


async def test_a_prompt_of_five_mebibytes_reaches_its_model(gateway: httpx.AsyncClient) -> None:
    assert (await ask(gateway, {"model": "simulator", "prompt": "x" * 5 * MEBIBYTE})).text == "simulator"


async def test_more_than_the_largest_request_is_refused(gateway: httpx.AsyncClient) -> None:
    answer = await ask(gateway, {"model": "simulator", "prompt": "x" * 11 * MEBIBYTE})
    assert answer.status_code == 413
