"""Every setting of the service, read from the environment here and nowhere else.

A setting's variable is ``MAAS_``, its group and its name: ``settings.tokens.max_per_owner`` is
``MAAS_TOKENS_MAX_PER_OWNER``. `docs/settings.md` lists them all; a test holds the two together.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.server_address import server_address

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]

_DAY = 24 * 60 * 60


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(_Group):
    """Where the two applications listen and what they accept."""

    host: str = Field("0.0.0.0", description="Address that both applications listen on.")  # noqa: S104  # a pod is reached from outside
    public_port: Port = Field(8080, description="Port of the public app (0: any free one).")
    gateway_port: Port = Field(8081, description="Port of the gateway app (0: any free one).")
    max_body_bytes: int = Field(64 * 1024, gt=0, description="Largest request body of /maas-api, in bytes.")
    drain_seconds: float = Field(
        5, ge=0, description="How long requests are still answered after SIGTERM, while nobody is sent here."
    )
    shutdown_seconds: Seconds = Field(
        20, description="How long requests in flight may take after that, or after Ctrl-C."
    )


class KubeSettings(_Group):
    """How the Kubernetes API is talked to."""

    request_seconds: Seconds = Field(10, description="Timeout of one call to the Kubernetes API.")
    connections: int = Field(
        100,
        gt=0,
        description="Connections to the Kubernetes API at most, for calls and for lists and watches each.",
    )
    watch_seconds: Seconds = Field(
        60, description="Length of one watch; a connection silent for longer is cut."
    )
    page_size: int = Field(500, gt=0, description="Objects asked for in one page of a list.")
    staleness_seconds: float = Field(
        600, ge=3, description="How long decisions go on from memory while the Kubernetes API is away."
    )


class IdentitySettings(_Group):
    """How caller tokens are reviewed."""

    cache_seconds: float = Field(10, ge=0, le=10, description="How long a TokenReview's answer is kept.")
    cache_entries: int = Field(10_000, gt=0, description="TokenReview answers kept at most.")


class TokenSettings(_Group):
    """What MaaS tokens are like."""

    audience: str = Field("maas-default-gateway-sa", min_length=1, description="Audience of MaaS tokens.")
    default_seconds: int = Field(_DAY, gt=0, description="Lifetime when none is asked for, in seconds.")
    min_seconds: int = Field(
        600, ge=600, description="Shortest lifetime; Kubernetes allows no less than 600."
    )
    max_seconds: int = Field(30 * _DAY, gt=0, description="Longest lifetime, in seconds.")
    max_per_owner: int = Field(
        50, gt=0, description="Live tokens of one owner, unless their tier says other."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_seconds <= self.default_seconds <= self.max_seconds:
            raise ValueError("min_seconds <= default_seconds <= max_seconds does not hold")
        return self


class TierSettings(_Group):
    """Where tiers come from."""

    config_map: str = Field("tier-to-group-mapping", description="Name of the ConfigMap with the mapping.")


class ModelSettings(_Group):
    """How access to models is decided."""

    access_verb: str = Field("get", description="RBAC verb on a model that lets people call it.")
    access_cache_seconds: float = Field(10, ge=0, le=60, description="How long a model decision is kept.")
    access_cache_entries: int = Field(100_000, gt=0, description="Model decisions kept at most.")


class GatewaySettings(_Group):
    """What the gateway app accepts."""

    max_body_bytes: int = Field(
        10 * 1024 * 1024, gt=0, description="Largest inference request that is read for its model, in bytes."
    )
    verified_entries: int = Field(100_000, gt=0, description="Verified signatures kept at most.")


class LimitSettings(_Group):
    """Whether the policies of the gateway follow the mapping."""

    mode: Literal["apply", "report", "off"] = Field(
        "apply",
        description="`apply`: policies are made to follow the mapping; `report`: a difference is only told; "
        "`off`: neither.",
    )
    profile: Literal["auto", "kuadrant", "envoy-gateway"] = Field(
        "auto", description="Whose policies; `auto`: those that a Role lets the service watch."
    )
    installers: str = Field(
        "kubectl,kubectl-client-side-apply,oc,maasctl",
        description="Field managers whose limits are taken over, separated by commas.",
    )

    @property
    def installer_names(self) -> frozenset[str]:
        """The field managers, each by itself."""
        return frozenset(name.strip() for name in self.installers.split(",") if name.strip())


class LeaderSettings(_Group):
    """How replicas agree on the one whose reconcilers run."""

    enabled: bool = Field(
        True, description="Elect a leader; without that, every replica runs the reconcilers."
    )
    lease: str = Field("maas-api", min_length=1, description="Name of the Lease.")
    lease_seconds: float = Field(
        15, ge=1, le=300, description="How long a leader that says nothing is waited for."
    )
    renew_seconds: Seconds = Field(10, description="How long a leader goes on without having renewed.")
    retry_seconds: Seconds = Field(2, description="Longest pause between two tries to renew or to take over.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.retry_seconds < self.renew_seconds < self.lease_seconds:
            raise ValueError("retry_seconds < renew_seconds < lease_seconds does not hold")
        return self


class ReconcilersSettings(_Group):
    """What the leader does to the cluster by itself."""

    writes_per_second: float = Field(
        20, gt=0, le=1000, description="Tokens relabelled or deleted in one second at most."
    )
    reaper_seconds: Seconds = Field(15, description="How often expired tokens are looked for.")


class PricingSettings(_Group):
    """Where prices come from."""

    config_map: str = Field("maas-pricing", description="Name of the ConfigMap with the prices.")


class UsageSettings(_Group):
    """Where usage is asked for."""

    prometheus_url: str | None = Field(
        None,
        description="Address of Prometheus or of a Thanos Querier, without `/api/v1`; "
        "without one there is no usage to ask for.",
    )
    token_file: str | None = Field(
        None, description="File with the bearer token to show there; it is read for each question."
    )
    ca_file: str | None = Field(
        None, description="File with the CA certificates to check it by; without one, those of the system."
    )
    timeout_seconds: float = Field(10, gt=0, le=300, description="How long one question may take.")
    concurrency: int = Field(8, gt=0, le=100, description="Questions asked at once at most; others wait.")
    cache_seconds: int = Field(
        5, ge=0, le=300, description="How long an answer is kept; the windows end at multiples of it."
    )
    max_window_seconds: int = Field(
        31 * _DAY, ge=60, description="Longest window; no longer than Prometheus keeps its data."
    )

    @field_validator("prometheus_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        return server_address(
            value,
            example="http://prometheus.monitoring.svc:9090",
            secrets="a token is for MAAS_USAGE_TOKEN_FILE",
        )

    @model_validator(mode="after")
    def _keep_the_token_secret(self) -> Self:
        if self.token_file and not (self.prometheus_url or "").startswith("https://"):
            raise ValueError("a token is sent by https only: prometheus_url must begin with https://")
        return self


class LogSettings(_Group):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text`, or `auto`: text on a terminal, JSON elsewhere."
    )


class TracingSettings(_Group):
    """Where traces go, and what is in them.

    Some have a name that OpenTelemetry has made known, which counts where ours is not set.
    """

    endpoint: str = Field(
        "",
        description="Base address of an OTLP/HTTP collector, such as `http://collector:4318`; "
        "empty: no traces.",
        json_schema_extra={"also": "OTEL_EXPORTER_OTLP_ENDPOINT"},
    )
    ratio: float = Field(1.0, ge=0, le=1, description="Share of the requests that is traced.")
    sampled_by: Literal["service", "gateway"] = Field(
        "service",
        description="Who decides which: `service`, by the ratio; `gateway`, by the `traceparent` it sends.",
    )
    service_name: str = Field(
        "maas-api",
        min_length=1,
        description="Name of the service in its traces.",
        json_schema_extra={"also": "OTEL_SERVICE_NAME"},
    )
    user_names: bool = Field(False, description="Whether users are named in traces.")
    headers_file: str | None = Field(
        None, description="File with headers for the collector, one `name: value` a line; a secret."
    )
    ca_file: str | None = Field(
        None, description="CA certificates to trust an https collector by; none: the public ones."
    )
    queue_spans: int = Field(
        2048, ge=512, description="Spans that wait to be sent at most; what comes then is lost."
    )
    export_seconds: Seconds = Field(10, description="How long sending one batch may take.")
    flush_seconds: float = Field(3, ge=0, description="How long the end waits for the last spans to be sent.")

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str) -> str:
        return value and server_address(
            value,
            example="http://collector:4318 (OTEL_EXPORTER_OTLP_ENDPOINT counts too)",
            secrets="headers are for MAAS_TRACING_HEADERS_FILE",
        )


class Settings(BaseSettings):
    """All settings, grouped and frozen."""

    model_config = SettingsConfigDict(
        env_prefix="MAAS_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    namespace: str = Field("maas", description="Namespace of the ServiceAccounts and the mapping.")
    kubeconfig: str | None = Field(
        None,
        validation_alias=AliasChoices("MAAS_KUBECONFIG", "KUBECONFIG"),
        description="Kubeconfig file; without one the pod's own ServiceAccount is used.",
    )
    http: HttpSettings = HttpSettings()
    kube: KubeSettings = KubeSettings()
    identity: IdentitySettings = IdentitySettings()
    tokens: TokenSettings = TokenSettings()
    tiers: TierSettings = TierSettings()
    models: ModelSettings = ModelSettings()
    gateway: GatewaySettings = GatewaySettings()
    limits: LimitSettings = LimitSettings()
    leader: LeaderSettings = LeaderSettings()
    reconcilers: ReconcilersSettings = ReconcilersSettings()
    pricing: PricingSettings = PricingSettings()
    usage: UsageSettings = UsageSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="before")
    @classmethod
    def _names_of_opentelemetry(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = values.get("tracing", {})
        if not isinstance(given, dict):
            return values
        found = {
            name: os.environ[also]
            for name, field in TracingSettings.model_fields.items()
            if isinstance(field.json_schema_extra, dict)
            and (also := str(field.json_schema_extra.get("also"))) in os.environ
        }
        return {**values, "tracing": {**found, **given}}
