from __future__ import annotations

from typing import Any

import pytest

from app.embedded.gateway.routes import RouteSettings, route_configuration


def routes(*models: str, settings: RouteSettings | None = None) -> list[dict[str, Any]]:
    (host,) = route_configuration(models, settings)["virtual_hosts"]
    found: list[dict[str, Any]] = host["routes"]
    return found


def test_models_come_before_the_service_and_nothing_comes_last() -> None:
    assert [route["name"] for route in routes("org/one", "two")] == [
        "maas-api",
        "models",
        "model:org/one",
        "model:two",
        "no-model",
        "nothing",
    ]


def test_only_the_token_api_and_nothing_are_open() -> None:
    overrides = {route["name"]: route.get("typed_per_filter_config", {}) for route in routes("one")}

    assert [name for name, filters in overrides.items() if "envoy.filters.http.ext_authz" in filters] == [
        "maas-api",
        "nothing",
    ]


def test_usage_is_looked_for_in_inference_alone() -> None:
    overrides = {route["name"]: route.get("typed_per_filter_config", {}) for route in routes("one")}

    for reader in ("maas.usage.json", "maas.usage.stream"):
        # Of several routes the first that fits decides, which is that before the model is known.
        assert [name for name, filters in overrides.items() if reader not in filters] == [
            "model:one",
            "no-model",
        ]


def test_prefixes_end_at_a_slash() -> None:
    assert [route["match"].get("path_separated_prefix") for route in routes("one")] == [
        "/maas-api",
        "/v1/models",
        "/v1",
        "/v1",
        None,
    ]


def test_no_route_leads_to_the_gateway_app() -> None:
    clusters = {route.get("route", {}).get("cluster") for route in routes("one")}

    assert clusters == {"public-app", "model", None}


def test_a_models_answer_may_take_forever_but_not_be_silent_forever() -> None:
    route = routes("one", settings=RouteSettings(answer_seconds=7, silence_seconds=60))[2]["route"]

    assert (route["timeout"], route["idle_timeout"]) == ("0s", "60s")


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(ValueError, match="id"):
        route_configuration(["one", ""])
