"""The filters of the shipped EnvoyFilter, run by Envoy in the order in which Istio puts them.

A filter of the test stands in for Kuadrant's: it lets everything pass, as alice of the tier free, and allows
the model that the client asked for.
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
from tests.e2e.istio.envoy_filters import patched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANIFEST = Path(__file__).parents[3] / "manifests" / "policies" / "istio" / "model-selection.yaml"
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MEBIBYTE = 2**20
# What names a person to some servers, and what does not.
CLAIMS = ("x_maas_tier", "x-remote-user", "x-auth-request-user", "x-forwarded-user", "x-forwarded-groups")
NAMES = (*CLAIMS, "x-forwarded-access-token", "x-request-priority")
STAND_IN = """
function envoy_on_request(request)
  local headers = request:headers()
  headers:add("x-maas-user", "alice")
  headers:add("x-maas-tier", "free")
  headers:add("x-maas-model", headers:get("x-maas-requested-model") or "")
end
"""


def filters_and_listener() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The HTTP filters and the listener's fields, once Istio has applied Kuadrant's patch and then ours."""
    stand_in = {
        "name": "stand-in",
        "typed_config": {
            "@type": f"{HTTP}.lua.v3.Lua",
            "default_source_code": {"inline_string": STAND_IN},
        },
    }
    router = {"name": "router", "typed_config": {"@type": f"{HTTP}.router.v3.Router"}}
    made = patched([yaml.safe_load(MANIFEST.read_text())], first=[stand_in])
    return [*made.http_filters, router], made.listener


def answers(name: str, **match: Any) -> dict[str, Any]:
    """A route that answers with its own name, and with the x-maas headers that its backend would get."""
    told = "".join(
        f" {header}=[%REQ(x-maas-{header})%]" for header in ("user", "tier", "model", "requested-model")
    )
    return {
        "match": {"prefix": "/", **match},
        "direct_response": {"status": 200, "body": {"inline_string": name}},
        "response_headers_to_add": [
            {"header": {"key": "told", "value": told.strip()}},
            {"header": {"key": "names", "value": " ".join(f"{name}=%REQ({name})%" for name in NAMES)}},
        ],
    }


def refuses(status: int, text: str, **headers: str) -> dict[str, Any]:
    """A route that answers as Kuadrant's filter does when it refuses; its path is `/<status>/<text>`."""
    added = [{"header": {"key": key.replace("_", "-"), "value": value}} for key, value in headers.items()]
    return {
        "match": {"safe_regex": {"regex": f".*/{status}/{text}"}},
        "direct_response": {"status": status, "body": {"inline_string": text}},
        "response_headers_to_add": added,
    }


def bootstrap(port: int) -> dict[str, Any]:
    filters, listener = filters_and_listener()
    simulator = {"name": "x-maas-model", "string_match": {"exact": "simulator"}}
    refusals = [
        *(
            refuses(403, wanted, x_maas_status=wanted, x_ext_auth_reason="internal")
            for wanted in ("401", "503", "403", "200")
        ),
        refuses(403, "plain"),
        refuses(429, "later", x_ratelimit_reset="17"),
        refuses(429, "soon"),
        refuses(500, "401", x_maas_status="401"),
    ]
    routes = [*refusals, answers("simulator", prefix="/v1", headers=[simulator]), answers("service")]
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


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("403/401", 401),
        ("403/503", 503),
        ("403/403", 403),
        ("403/200", 403),
        ("403/plain", 403),
        ("500/401", 500),
    ],
)
async def test_a_refusal_gets_the_status_that_the_policy_names(
    gateway: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await gateway.get(f"/v1/{path}")
    assert (answer.status_code, answer.text) == (status, path.partition("/")[2])
    assert not {"x-maas-status", "x-ext-auth-reason"} & answer.headers.keys()
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)


@pytest.mark.parametrize(("path", "seconds"), [("429/later", "17"), ("429/soon", "60")])
async def test_a_spent_limit_is_told_as_every_other_error_is(
    gateway: httpx.AsyncClient, path: str, seconds: str
) -> None:
    inference, issuing = [await gateway.get(f"/{prefix}/{path}") for prefix in ("v1", "maas-api")]
    for answer in (inference, issuing):
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == seconds
    assert inference.headers["content-type"] == "application/json"
    assert inference.json()["error"]["code"] == "rate_limit_exceeded"
    assert issuing.headers["content-type"] == "application/problem+json"
    assert (issuing.json()["code"], issuing.json()["status"]) == ("rate_limit_exceeded", 429)


async def test_what_names_a_person_reaches_no_model(gateway: httpx.AsyncClient) -> None:
    answer = await ask(gateway, {"model": "other"}, *((name, "root") for name in NAMES))
    seen = {name for name in NAMES if f"{name}=root" in answer.headers["names"]}
    assert seen == set(NAMES) - set(CLAIMS)
