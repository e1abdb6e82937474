"""The whole platform behind the shipped overlay for OpenShift.

A real control plane, the real engines of Kuadrant, the service, models, and Envoy in front. All is applied as
it is shipped, but for one address: Authorino asks the service on this machine, where no cluster resolves
`maas-api.maas.svc.cluster.local`.
"""

from __future__ import annotations

import secrets
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import trustme
from starlette.responses import Response

from app.embedded.kubernetes import User
from app.embedded.simulator import SimulatorSettings, create_simulator
from app.lifespan import running
from app.main import create_gateway_app, create_public_app
from app.serving import bind, serving
from app.settings import Settings
from tests.control_plane import ControlPlane
from tests.e2e import cluster_controllers as controllers
from tests.e2e.envoy_gateway.in_cluster import envoy_gateway_of, say_that_envoy_is_up
from tests.e2e.inference import MODELS, STRAY_ROUTE
from tests.e2e.kuadrant import engines
from tests.e2e.kuadrant.gateway import GATEWAY, envoy, patch_policy
from tests.e2e.kuadrant.manifests import DEFINITIONS, one, operator_variables, overlay
from tests.e2e.stubs import Model
from tests.kustomize import MANIFESTS, rendered
from tests.loopback import free_port
from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.service import Service
    from app.serving import Listener
    from tests.control_plane import Binaries
    from tests.e2e.kuadrant.manifests import Json

SECONDS = 60
POLICIES = {
    "AuthPolicy": "/apis/kuadrant.io/v1/authpolicies",
    "RateLimitPolicy": "/apis/kuadrant.io/v1/ratelimitpolicies",
    "TokenRateLimitPolicy": "/apis/kuadrant.io/v1alpha1/tokenratelimitpolicies",
    "TelemetryPolicy": "/apis/extensions.kuadrant.io/v1alpha1/telemetrypolicies",
}
AUTH_CONFIGS = "/apis/authorino.kuadrant.io/v1beta3/authconfigs"
ENVOY_FILTERS = "/apis/networking.istio.io/v1alpha3/namespaces/maas/envoyfilters"
_LOOPBACK = "127.0.0.1"
# Time enough for a machine that does a lot else.
_TIMEOUTS = {"AUTH_SERVICE_TIMEOUT": "10s", "RATELIMIT_SERVICE_TIMEOUT": "10s"}


@dataclass(frozen=True)
class Tools:
    """The programs it consists of."""

    binaries: Binaries
    envoy_gateway: Path
    authorino: Path
    kuadrant_operator: Path
    telemetry_policy: Path
    limitador: Path


@dataclass(frozen=True)
class Platform:
    """A running one.

    Attributes:
        client: a client of the gateway that trusts its certificate.
        control_plane: the cluster.
        authorino: who decides.
        limitador: who counts.
        identity: the service's gateway app, as Authorino reaches it.
    """

    client: httpx.AsyncClient
    control_plane: ControlPlane
    authorino: engines.Engine
    limitador: engines.Limitador
    identity: Interruptible

    def person(self, *groups: str) -> Caller:
        """Someone whom nobody has seen before, with limits that nobody has used."""
        token = f"sha256~{secrets.token_hex(8)}"
        self.control_plane.add_user(token, User(f"person-{secrets.token_hex(4)}@example.com", groups))
        return Caller(self.client, token)

    async def holder(self, *groups: str) -> Caller:
        """Such a person with a MaaS token."""
        return Caller(self.client, (await self.person(*groups).issued())["token"])

    async def listed(self, path: str) -> list[Json]:
        """The objects at a path of the Kubernetes API."""
        return await _listed(self.control_plane, path)


class Interruptible:
    """An app that answers nothing but 503 while it is away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = Response(status_code=503) if self.away else self._app
        await app(scope, receive, send)


@asynccontextmanager
async def platform(tools: Tools, directory: Path) -> AsyncIterator[Platform]:
    """Run it, with its files in `directory`."""
    listeners = {name: bind(name, _LOOPBACK, 0) for name in ("public", "gateway", *MODELS)}
    certificate = trustme.CA().issue_cert("localhost")
    documents = overlay(_folder(directory, "overlay"), gateway_app=listeners["gateway"].port)
    async with AsyncExitStack() as stack:
        for listener in listeners.values():
            stack.callback(listener.socket.close)
        control_plane = await stack.enter_async_context(ControlPlane(tools.binaries))
        await _fill(control_plane, documents, {name: listener.port for name, listener in listeners.items()})
        await controllers.issue_gateway_certificate(control_plane, certificate)
        service, identity = await stack.enter_async_context(_service(control_plane, listeners))
        ports = engines.Ports(authorino=free_port(), limitador=free_port())
        authorino, limitador = await stack.enter_async_context(
            _kuadrant(control_plane, tools, directory, ports, one(documents, "GatewayClass"))
        )
        port = free_port()
        filters = await _listed(control_plane, ENVOY_FILTERS)
        await control_plane.apply(patch_policy(filters, port=port, services=ports.services))
        await stack.enter_async_context(envoy(control_plane, _folder(directory, "envoy")))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"https://localhost:{port}", verify=_trust(certificate), timeout=20, trust_env=False
            )
        )
        await eventually(lambda: _answers(client), seconds=SECONDS)
        await eventually(lambda: all(service.catalogue.get(model) for model in MODELS))
        yield Platform(client, control_plane, authorino, limitador, identity)


async def _fill(control_plane: ControlPlane, documents: Sequence[Json], ports: Mapping[str, int]) -> None:
    """Apply what a cluster admin does, and let pods of the service and of the models run."""
    models = [document for model in MODELS for document in rendered(MANIFESTS / "models" / model)]
    kuadrant = rendered(MANIFESTS / "platform" / "kuadrant")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": engines.NAMESPACE}}
    await control_plane.install_crds(DEFINITIONS)
    await controllers.apply(control_plane, [namespace, *kuadrant, *documents, *models, STRAY_ROUTE])
    service_ports = {"http": ports["public"], "gateway": ports["gateway"]}
    await controllers.run_pods_of(control_plane, "maas", "maas-api", service_ports)
    await controllers.deploy_models(control_plane, models, ports)


@asynccontextmanager
async def _service(
    control_plane: ControlPlane, listeners: Mapping[str, Listener]
) -> AsyncIterator[tuple[Service, Interruptible]]:
    """The service with the rights that are shipped, and models.

    The model `simulator` is the simulator; the others answer with what they are sent.
    """
    token = await control_plane.service_account_token("maas", "maas-api")
    kubeconfig = control_plane.kubeconfig("maas-api", token=token)
    async with running(Settings(kubeconfig=str(kubeconfig))) as service:
        identity = Interruptible(create_gateway_app(service))
        apps: dict[str, ASGIApp] = {model: Model() for model in MODELS}
        apps["simulator"] = create_simulator(SimulatorSettings(models=("simulator",)))
        apps |= {"public": create_public_app(service), "gateway": identity}
        async with serving(*((app, listeners[name]) for name, app in apps.items()), shutdown_seconds=1):
            yield service, identity


@asynccontextmanager
async def _kuadrant(
    control_plane: ControlPlane, tools: Tools, directory: Path, ports: engines.Ports, gateway_class: Json
) -> AsyncIterator[tuple[engines.Engine, engines.Limitador]]:
    """The engines, once the operator has set up everything that the policies ask for."""
    shipped = rendered(MANIFESTS / "platform" / "kuadrant")
    controller = gateway_class["spec"]["controllerName"]
    async with (
        envoy_gateway_of(
            control_plane, tools.envoy_gateway, _folder(directory, "envoy-gateway"), controller=controller
        ),
        engines.authorino(
            control_plane,
            tools.authorino,
            _folder(directory, "authorino"),
            one(shipped, "Authorino"),
            ports.authorino,
        ) as authorino,
        engines.limitador(
            tools.limitador, _folder(directory, "limitador"), one(shipped, "Limitador"), ports.limitador
        ) as limitador,
    ):
        await say_that_envoy_is_up(control_plane, GATEWAY)
        await engines.say_that_engines_run(control_plane)
        async with engines.kuadrant_operator(
            control_plane,
            tools.kuadrant_operator,
            {"telemetry-policy": tools.telemetry_policy},
            _folder(directory, "operator"),
            {**operator_variables(), **_TIMEOUTS},
        ):
            await eventually(lambda: _enforced(control_plane), seconds=SECONDS)
            resource = await control_plane.client.get(engines.LIMITADOR)
            spec = resource.raise_for_status().json()["spec"]
            assert spec["metricLabelsDefault"] == engines.METRIC_LABELS
            limitador.serve(spec["limits"])
            await eventually(lambda: limitador.served("maas/maas-inference"), seconds=SECONDS)
            yield authorino, limitador


async def _enforced(control_plane: ControlPlane) -> bool:
    """Whether the operator has nothing left to do for the policies that Envoy's filters carry out."""
    policies = [
        policy
        for kind in ("AuthPolicy", "RateLimitPolicy", "TelemetryPolicy")
        for policy in await _listed(control_plane, POLICIES[kind])
    ]
    return all(condition(policy, "Enforced") == "True" for policy in policies)


def condition(resource: Json, kind: str) -> str | None:
    """The status of one of its conditions, None if it has none of this type."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((entry["status"] for entry in conditions if entry["type"] == kind), None)


async def _listed(control_plane: ControlPlane, path: str) -> list[Json]:
    items: list[Json] = (await control_plane.client.get(path)).raise_for_status().json()["items"]
    return items


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/maas-api/healthz")).is_success
    except httpx.TransportError:
        return False


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder


def _trust(certificate: trustme.LeafCert) -> ssl.SSLContext:
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    context = ssl.create_default_context(cadata=chain.decode())
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
