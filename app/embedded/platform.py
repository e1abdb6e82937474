"""The whole platform on one machine: cluster, service, model and gateway, started and stopped together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.embedded.cluster import EmbeddedCluster, embedded_cluster
from app.embedded.directory import claimed
from app.embedded.gateway import GatewayTracing, LocalGateway
from app.embedded.gateway.addresses import ensure_free
from app.embedded.gateway.metering import MeteringSettings
from app.embedded.gateway_feed import GatewayFeed
from app.embedded.prometheus import prometheus_configuration, write_prometheus_configuration
from app.embedded.simulator import SimulatorSettings, create_simulator
from app.lifespan import running
from app.main import create_gateway_app, create_public_app
from app.serving import Listener, bind, serving
from app.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from app.service import Service
    from app.settings import Settings, TracingSettings

_LOOPBACK = "127.0.0.1"
# The local gateway takes its limits from the mapping itself.
_NO_POLICIES = LimitSettings(mode="off")
# The gateway ends first, and every connection with it: nobody waits for what is still being answered.
_SHUTDOWN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """What can be chosen.

    Attributes:
        state_dir: where kubeconfigs, certificates and Envoy's files go.
        port: of the gateway; 0 takes any free one.
        cluster_port: of the embedded cluster; 0 takes any free one.
        kubeconfig: a real cluster to use in place of the embedded one.
        first_token_seconds: how long the model thinks.
        token_seconds: how long it takes for each token after the first.
        ready_seconds: how long the service may take until it has read the cluster.
        user_metrics: whether the gateway's counters say which user.
    """

    state_dir: Path
    port: int = 8443
    cluster_port: int = 8444
    kubeconfig: str | None = None
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    ready_seconds: float = 30
    user_metrics: bool = True


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform.

    Attributes:
        cluster: the embedded cluster, or None where a real one is used.
        service: the service.
        gateway: the gateway in front of it.
        gateway_app: where the gateway app listens, with the metrics.
        prometheus: the configuration of a Prometheus that watches all of it.
    """

    cluster: EmbeddedCluster | None
    service: Service
    gateway: LocalGateway
    gateway_app: Listener
    prometheus: Path


class NotReadyError(Exception):
    """The service could not read the cluster in time; `str()` says what is missing."""


@asynccontextmanager
async def platform(
    options: PlatformOptions, settings: Settings, *, step: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Platform]:
    """Run everything for as long as the context lasts.

    Args:
        options: what was chosen.
        settings: of the service; addresses and kubeconfig are set here.
        step: is told what is being started.

    Raises:
        PortTakenError, GatewayError: the embedded cluster or the gateway cannot listen or start.
        DirectoryTakenError: another platform runs in the state directory.
        KubeError: the kubeconfig of a real cluster is not usable.
        TracingError: traces are asked for and cannot be made.
        NotReadyError: the cluster does not hold what the service needs.
    """
    async with AsyncExitStack() as stack:
        # What cannot run must not touch the files of a platform that does.
        ensure_free((_LOOPBACK, options.port))
        kubeconfig, cluster = options.kubeconfig, None
        listener = None if kubeconfig else bind("cluster", _LOOPBACK, options.cluster_port)
        if listener is not None:
            stack.callback(listener.socket.close)
        stack.enter_context(claimed(options.state_dir))
        if listener is not None:
            step("the embedded cluster")
            cluster = await stack.enter_async_context(
                embedded_cluster(
                    options.state_dir, listener, namespace=settings.namespace, advertise="localhost"
                )
            )
            kubeconfig = str(cluster.service_kubeconfig)
        step("the service")
        service = await stack.enter_async_context(
            running(
                settings.model_copy(
                    update={
                        "kubeconfig": kubeconfig,
                        "limits": _NO_POLICIES,
                        "tracing": settings.tracing.model_copy(update={"sampled_by": "gateway"}),
                    }
                )
            )
        )
        simulator = create_simulator(
            SimulatorSettings(
                first_token_seconds=options.first_token_seconds,
                token_seconds=options.token_seconds,
                # Without it, who does not ask for the usage of a stream is not metered.
                force_include_usage=True,
            )
        )
        listeners = [bind(name, _LOOPBACK, 0) for name in ("public app", "gateway app", "model")]
        apps = [create_public_app(service), create_gateway_app(service), simulator]
        pairs = zip(apps, listeners, strict=True)
        await stack.enter_async_context(serving(*pairs, shutdown_seconds=_SHUTDOWN_SECONDS))
        await _ready(service, options.ready_seconds)
        step("the gateway")
        public, gateway_app, model = ((listener.host, listener.port) for listener in listeners)
        gateway = LocalGateway(
            options.state_dir / "gateway",
            listen=(_LOOPBACK, options.port),
            public_app=public,
            gateway_app=gateway_app,
            model=model,
            max_request_bytes=settings.gateway.max_body_bytes,
            tracing=_tracing(settings.tracing),
            metering=MeteringSettings(user_label=options.user_metrics),
        )
        feed = GatewayFeed(service, gateway)
        feed.apply()
        await stack.enter_async_context(gateway)
        task = asyncio.create_task(feed.run(), name="gateway feed")
        stack.push_async_callback(_end, task)
        prometheus = options.state_dir / "prometheus.yml"
        watched = prometheus_configuration(service=gateway_app, model=model, gateway=gateway.admin)
        write_prometheus_configuration(prometheus, watched)
        yield Platform(cluster, service, gateway, listeners[1], prometheus)


def _tracing(settings: TracingSettings) -> GatewayTracing | None:
    if not settings.endpoint:
        return None
    from app.observability.otlp import read_headers  # noqa: PLC0415  # whoever has no traces need not load it

    return GatewayTracing(
        endpoint=settings.endpoint,
        ratio=settings.ratio,
        headers=read_headers(settings.headers_file),
        ca_file=settings.ca_file,
        user_names=settings.user_names,
    )


async def _ready(service: Service, seconds: float) -> None:
    waits = (reflector.wait_synced() for reflector in service.reflectors)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waits)
    except TimeoutError:
        missing = [reflector.name for reflector in service.reflectors if not reflector.synced]
        raise NotReadyError(
            f"the cluster did not let the service read {', '.join(missing)} within {seconds:g} seconds; "
            "the log says why"
        ) from None
    if service.tiers.mapping is None:
        name = f"ConfigMap {service.settings.tiers.config_map} in namespace {service.settings.namespace}"
        raise NotReadyError(
            f"there is no tier mapping in the cluster, {name}: {service.tiers.error}. "
            "Put it there: kubectl apply -k manifests/overlays/kubernetes"
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
