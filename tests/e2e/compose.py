"""The data plane of docker-compose.yml on this machine: its own files, with addresses of the loopback."""

from __future__ import annotations

import json
import shlex
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import trustme
import yaml

from app.embedded.gateway import find_envoy
from app.serving import bind, serving
from tests.control_plane.process import Process
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.types import ASGIApp

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "manifests" / "compose"
LOOPBACK = "127.0.0.1"
_START_SECONDS = 30

# What stands in envoy.yaml, and who that is.
_ADDRESSES = {
    ("0.0.0.0", 8443): "gateway",  # noqa: S104  # an address in a file, not one that is listened on
    ("0.0.0.0", 9901): "admin",  # noqa: S104
    ("maas-api", 8080): "public",
    ("maas-api", 8081): "authorizer",
    ("model", 8000): "model",
    ("limitador", 8081): "limitador",
}


@dataclass(frozen=True)
class DataPlane:
    """A running one.

    Attributes:
        client: a client of the gateway that trusts its certificate.
        admin: a client of Envoy's admin interface.
        limitador: a client of Limitador's HTTP interface.
    """

    client: httpx.AsyncClient
    admin: httpx.AsyncClient
    limitador: httpx.AsyncClient


@asynccontextmanager
async def data_plane_between(
    directory: Path, limitador: Path | None, apps: Mapping[str, ASGIApp]
) -> AsyncIterator[DataPlane]:
    """The data plane between a client and stubs.

    Args:
        directory: where configuration, certificates and logs go.
        limitador: the program, or None for none.
        apps: what is around it: `authorizer`, `public`, `model`; one that is left out is not there.
    """
    async with AsyncExitStack() as stack:
        ports = {}
        for name in ("authorizer", "public", "model"):
            listener = bind(name, LOOPBACK, 0)
            ports[name] = listener.port
            if name in apps:
                await stack.enter_async_context(serving((apps[name], listener), shutdown_seconds=1))
            else:
                listener.socket.close()
        _certify(directory)
        yield await stack.enter_async_context(data_plane(directory, limitador, ports))


@asynccontextmanager
async def data_plane(
    directory: Path, limitador: Path | None, ports: Mapping[str, int]
) -> AsyncIterator[DataPlane]:
    """Envoy and Limitador with the commands and files of docker-compose.yml.

    Args:
        directory: what `/state` is in the containers: it has the gateway's certificate.
        limitador: the program, or None for none.
        ports: of `authorizer`, `public` and `model`.
    """
    ports = {name: free_port() for name in ("gateway", "admin", "limitador", "limitador-http")} | dict(ports)
    async with AsyncExitStack() as stack:
        gateway = httpx.AsyncClient(
            base_url=f"https://localhost:{ports['gateway']}",
            verify=_trust(directory / "gateway.pem"),
            timeout=20,
            trust_env=False,
        )
        admin, counters = (
            httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{ports[name]}", timeout=5, trust_env=False)
            for name in ("admin", "limitador-http")
        )
        for client in (gateway, admin, counters):
            await stack.enter_async_context(client)
        if limitador is not None:
            process = Process(limitador, _limitador_arguments(ports), log=directory / "limitador.log")
            stack.push_async_callback(process.kill)
            await process.start(counters, "/status", within_seconds=_START_SECONDS)
        envoy = Process(find_envoy(), _envoy_arguments(directory, ports), log=directory / "envoy.log")
        stack.push_async_callback(envoy.kill)
        await envoy.start(admin, "/ready", within_seconds=_START_SECONDS)
        yield DataPlane(gateway, admin, counters)


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def _limitador_arguments(ports: Mapping[str, int]) -> list[str]:
    listen = f"-b {LOOPBACK} -p {ports['limitador']} -B {LOOPBACK} -P {ports['limitador-http']}"
    mounted = {"/etc/limitador/limits.yaml": COMPOSE / "limits.yaml"}
    return [*shlex.split(listen), *_arguments("limitador", mounted)]


def _envoy_arguments(directory: Path, ports: Mapping[str, int]) -> list[str]:
    configuration = directory / "envoy.json"
    document = yaml.safe_load((COMPOSE / "envoy.yaml").read_text())
    configuration.write_text(json.dumps(_moved(document, ports, directory)))
    return [*_arguments("envoy", {"/etc/envoy/envoy.yaml": configuration}), "--concurrency", "1"]


def _arguments(service: str, mounted: Mapping[str, Path]) -> Sequence[str]:
    """The service's command, less the program, with the files of this machine."""
    _, *arguments = compose()["services"][service]["command"]
    assert set(mounted) <= set(arguments)
    return [str(mounted.get(argument, argument)) for argument in arguments]


def _moved(node: Any, ports: Mapping[str, int], directory: Path) -> Any:
    if isinstance(node, dict) and {"address", "port_value"} <= node.keys():
        return {"address": LOOPBACK, "port_value": ports[_ADDRESSES[node["address"], node["port_value"]]]}
    if isinstance(node, dict):
        return {key: _moved(value, ports, directory) for key, value in node.items()}
    if isinstance(node, list):
        return [_moved(value, ports, directory) for value in node]
    if isinstance(node, str) and node.startswith("/state/"):
        return str(directory / node.removeprefix("/state/"))
    return node


def _certify(directory: Path) -> None:
    """What `maasctl cluster` puts into the volume for the gateway."""
    server = trustme.CA().issue_cert("localhost", "envoy")
    server.private_key_pem.write_to_path(directory / "gateway.key")
    (directory / "gateway.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))


def _trust(certificate: Path) -> ssl.SSLContext:
    """A context that trusts this server certificate, whoever signed it."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
