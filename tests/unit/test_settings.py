"""Settings come from the environment, grouped, and are checked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert settings.namespace == "maas"
    assert settings.tiers.config_map == "tier-to-group-mapping"
    assert settings.tokens.default_seconds == 24 * 60 * 60
    assert settings.tokens.max_per_owner == 50
    assert settings.identity.cache_seconds <= 10


def test_a_variable_is_prefix_group_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_NAMESPACE", "models")
    monkeypatch.setenv("MAAS_TOKENS_MAX_PER_OWNER", "7")
    monkeypatch.setenv("MAAS_HTTP_PUBLIC_PORT", "9090")
    monkeypatch.setenv("KUBECONFIG", "somewhere")
    settings = Settings()
    assert (settings.namespace, settings.tokens.max_per_owner) == ("models", 7)
    assert (settings.http.public_port, settings.kubeconfig) == (9090, "somewhere")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAAS_TOKENS_MIN_SECONDS", "60"),
        ("MAAS_TOKENS_MAX_SECONDS", "700"),
        ("MAAS_IDENTITY_CACHE_SECONDS", "11"),
        ("MAAS_HTTP_PUBLIC_PORT", "70000"),
        ("MAAS_LOG_LEVEL", "LOUD"),
        ("MAAS_TOKENS_NOTHING", "1"),
        ("MAAS_HTTP_DRAIN_SECONDS", "-1"),
        ("MAAS_LEADER_LEASE_SECONDS", "10"),
        ("MAAS_LEADER_RENEW_SECONDS", "2"),
        ("MAAS_LEADER_RETRY_SECONDS", "0"),
        ("MAAS_LEADER_LEASE_SECONDS", "301"),
        ("MAAS_LEADER_ENABLED", "perhaps"),
        ("MAAS_USAGE_PROMETHEUS_URL", "prometheus:9090"),
        ("MAAS_USAGE_PROMETHEUS_URL", "ftp://prometheus"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://prometheus:port"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://prometheus:99999"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://[::1"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://me:secret@prometheus"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://prometheus/?query=up"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://prometheus/#top"),
        ("MAAS_USAGE_PROMETHEUS_URL", "http://prome theus"),
        ("MAAS_USAGE_TIMEOUT_SECONDS", "0"),
        ("MAAS_USAGE_TIMEOUT_SECONDS", "nan"),
        ("MAAS_USAGE_CONCURRENCY", "0"),
        ("MAAS_USAGE_CACHE_SECONDS", "-1"),
        ("MAAS_USAGE_MAX_WINDOW_SECONDS", "59"),
        ("MAAS_TRACING_RATIO", "1.1"),
        ("MAAS_TRACING_RATIO", "nan"),
        ("MAAS_TRACING_SAMPLED_BY", "anyone"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_prometheus_is_an_address_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("", None), ("https://prometheus:9091/prefix", "https://prometheus:9091/prefix")):
        monkeypatch.setenv("MAAS_USAGE_PROMETHEUS_URL", value)
        assert Settings().usage.prometheus_url == expected


def test_a_token_is_for_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_USAGE_TOKEN_FILE", "token")
    for value in ("", "http://prometheus"):
        monkeypatch.setenv("MAAS_USAGE_PROMETHEUS_URL", value)
        with pytest.raises(ValidationError, match="https"):
            Settings()
    monkeypatch.setenv("MAAS_USAGE_PROMETHEUS_URL", "https://prometheus")
    assert Settings().usage.token_file == "token"


def test_traces_have_the_names_of_opentelemetry_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "models")
    assert (Settings().tracing.endpoint, Settings().tracing.service_name) == (
        "http://collector:4318",
        "models",
    )
    monkeypatch.setenv("MAAS_TRACING_ENDPOINT", "")
    monkeypatch.setenv("MAAS_TRACING_RATIO", "0.1")
    tracing = Settings().tracing
    assert (tracing.endpoint, tracing.ratio, tracing.service_name) == ("", 0.1, "models")


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("MAAS_TRACING_ENDPOINT", ("tracing", "endpoint")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ("tracing", "endpoint")),
        ("MAAS_USAGE_PROMETHEUS_URL", ("usage", "prometheus_url")),
    ],
)
@pytest.mark.parametrize(
    "address",
    [
        "server:4318",
        "grpc://server:4317",
        "http://",
        "http://:4318",
        "http://user:secret@server:4318",
        "http://secret@server:4318",
        "http://server:4318?token=secret",
        "http://server:4318#secret",
        "http://server:none",
        "http://server:0",
        "http://server:99999",
        "http://[server",
        "http://ser ver",
        "http://sérver",
        " http://server",
    ],
)
def test_an_address_of_a_server_is_checked_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, setting: tuple[str, str], address: str
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(ValidationError, match="expected an address") as caught:
        Settings()
    (error,) = caught.value.errors(include_input=False)
    assert error["loc"] == setting
    assert "secret" not in str(error)
