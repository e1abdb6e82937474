"""The whole platform behind the shipped manifests: cluster, service, models, and Envoy Gateway in front."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import trustme

from app.embedded.cluster import embedded_cluster
from app.embedded.kubernetes import User
from app.embedded.kubernetes.resources import DEFAULT, Catalogue
from app.embedded.simulator import SimulatorSettings, create_simulator
from app.lifespan import running
from app.main import create_gateway_app, create_public_app
from app.serving import bind, serving
from app.settings import LimitSettings, Settings, TracingSettings
from tests.clusters import LIMITS
from tests.e2e.envoy_gateway.machine import envoy_gateway, only_envoy_gateway
from tests.e2e.envoy_gateway.standalone import rate_limit_service_at, standalone
from tests.e2e.inference import MODELS, STRAY_ROUTE
from tests.e2e.stubs import Model
from tests.kustomize import MANIFESTS, rendered
from tests.loopback import free_port
from tests.meters import Meter
from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.embedded.kubernetes import Cluster
    from app.service import Service
    from tests.e2e.envoy_gateway.counting import Counting

OVERLAY = MANIFESTS / "overlays" / "kubernetes"
_LOOPBACK = "127.0.0.1"
# What policies and models bring that the cluster must know, so that the shipped access rules decide, and what
# of that the embedded cluster holds already.
_APPLIED = (
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "InferenceService",
    "BackendTrafficPolicy",
)
_SEEDED = ("maas", "maas-api")


@dataclass(frozen=True)
class Platform:
    """A running one.

    Attributes:
        directory: where files are.
        client: a client of the gateway that trusts its certificate.
        service: the service behind it.
        cluster: the cluster behind that.
    """

    directory: Path
    client: httpx.AsyncClient
    service: Service
    cluster: Cluster

    @property
    def meter(self) -> Meter:
        """What its Envoy has counted; standalone, its admin interface is on any free port."""
        (address,) = self.directory.glob("runtimeDir/*/admin-address.txt")
        return Meter.at(f"http://{address.read_text()}")

    def person(self, *groups: str) -> Caller:
        """Someone whom nobody has seen before, with limits that nobody has used."""
        token = f"sha256~{secrets.token_hex(8)}"
        self.cluster.add_user(token, User(f"person-{secrets.token_hex(4)}@example.com", groups))
        return Caller(self.client, token)

    async def holder(self, *groups: str) -> Caller:
        """Such a person with a MaaS token."""
        return Caller(self.client, (await self.person(*groups).issued())["token"])


@asynccontextmanager
async def platform(
    program: Path,
    directory: Path,
    *,
    overlay: Path = OVERLAY,
    counting: Counting | None = None,
    away: str | None = None,
    tracing: TracingSettings | None = None,
) -> AsyncIterator[Platform]:
    """Run it. The model `simulator` is the simulator; the others answer with what they are sent.

    Args:
        program: `envoy-gateway`.
        directory: where files go.
        overlay: the kustomization that is run.
        counting: who counts requests for global limits.
        away: what does not answer: `gateway`, the gateway app, or a model.
        tracing: where the service's traces go. Those of the gateway go nowhere: it speaks gRPC.
    """
    shipped = rendered(overlay)
    models = [document for model in MODELS for document in rendered(MANIFESTS / "models" / model)]
    listeners = {name: bind(name, _LOOPBACK, 0) for name in ("cluster", "public", "gateway", *MODELS)}
    ports = {name: listener.port for name, listener in listeners.items()}
    services = {("maas-api", 8080): ports["public"], ("maas-api", 8081): ports["gateway"]}
    services["otel-collector", 4317] = free_port()
    services |= {(f"{model}-predictor", 80): ports[model] for model in MODELS}
    server = trustme.CA().issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    port = free_port()
    documents = standalone(
        [*shipped, *models, STRAY_ROUTE],
        services=services,
        port=port,
        certificate=chain,
        key=server.private_key_pem.bytes(),
    )
    if counting:
        documents.append(rate_limit_service_at(counting.port))
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            embedded_cluster(
                directory,
                listeners["cluster"],
                namespace="maas",
                advertise="localhost",
                catalogue=Catalogue([*DEFAULT, *LIMITS]),
            )
        )
        for document in [*shipped, *models]:
            if document["kind"] in _APPLIED and document["metadata"]["name"] not in _SEEDED:
                cluster.state.apply(document)
        service = await stack.enter_async_context(
            running(
                Settings(
                    kubeconfig=str(cluster.service_kubeconfig),
                    # Who has put the policies into the embedded cluster.
                    limits=LimitSettings(installers="seed"),
                    tracing=tracing or TracingSettings(),
                )
            )
        )
        apps = {"public": create_public_app(service), "gateway": create_gateway_app(service)}
        apps |= {model: Model() for model in MODELS}
        apps["simulator"] = create_simulator(SimulatorSettings(models=("simulator",)))
        if away is not None:
            del apps[away]
            listeners[away].socket.close()
        await stack.enter_async_context(
            serving(*((app, listeners[name]) for name, app in apps.items()), shutdown_seconds=1)
        )
        async with asyncio.timeout(10):
            for reflector in service.reflectors:
                await reflector.wait_synced()
        await eventually(lambda: all(service.catalogue.get(model) for model in MODELS))
        context = ssl.create_default_context(cadata=chain.decode())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"https://localhost:{port}", verify=context, timeout=20, trust_env=False
            )
        )
        await stack.enter_async_context(only_envoy_gateway())
        await stack.enter_async_context(
            envoy_gateway(
                *(program, directory, documents, client, "/maas-api/healthz"),
                redis=counting.redis if counting else None,
            )
        )
        if counting:
            await stack.enter_async_context(counting.running(directory))
        yield Platform(directory, client, service, cluster.state)
