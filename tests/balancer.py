"""A real Envoy in front of several replicas, which sends nothing to one that is not ready, as gateways do."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from app.embedded.gateway.binary import find_envoy
from tests.control_plane.process import Process
from tests.loopback import free_port
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

_TYPE = "type.googleapis.com/envoy.extensions.filters"
_MANAGER = f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager"
_AUTHZ = f"{_TYPE}.http.ext_authz.v3"


class Balancer:
    """A running Envoy.

    Attributes:
        client: a client of its listener.
    """

    def __init__(self, client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        self.client = client
        self._admin = admin

    async def sends_to(self, replicas: int) -> None:
        """Wait until so many replicas of both apps are taken for ready."""

        async def ready() -> bool:
            counts = [
                (await self._admin.get(f"/stats?filter=cluster.{app}.membership_healthy")).text.split()[-1]
                for app in ("public", "gateway")
            ]
            return counts == [str(replicas)] * 2

        await eventually(ready, seconds=60)


@asynccontextmanager
async def balancer(
    directory: Path, *, public: Sequence[int], gateway: Sequence[int], model: int
) -> AsyncIterator[Balancer]:
    """Run Envoy: `/maas-api` goes to the public apps, all else to the model if the gateway apps allow it.

    Args:
        directory: where its files go.
        public: the ports of the public apps.
        gateway: the ports of the gateway apps.
        model: the port of the model.
    """
    port, admin_port = free_port(), free_port()
    clusters = [
        _cluster("public", public, "/maas-api/readyz"),
        _cluster("gateway", gateway, "/readyz"),
        _cluster("model", [model], None),
    ]
    bootstrap = {
        "admin": {"address": _address(admin_port)},
        "static_resources": {"listeners": [_listener(port)], "clusters": clusters},
    }
    config, log = directory / "envoy.json", directory / "envoy.log"
    config.write_text(json.dumps(bootstrap))
    envoy = Process(
        find_envoy(),
        ["-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"],
        log=log,
    )
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin_port}", trust_env=False) as admin,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        await envoy.start(admin, "/ready", within_seconds=60)
        try:
            yield Balancer(client, admin)
        finally:
            await envoy.kill()


def _listener(port: int) -> dict[str, Any]:
    # No retries: a request that fails is to be seen.
    to_model = {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "30s"}}
    to_public = {
        "match": {"prefix": "/maas-api"},
        "route": {"cluster": "public", "timeout": "30s"},
        "typed_per_filter_config": {
            "envoy.filters.http.ext_authz": {"@type": f"{_AUTHZ}.ExtAuthzPerRoute", "disabled": True}
        },
    }
    authorize = {
        "@type": f"{_AUTHZ}.ExtAuthz",
        "with_request_body": {"max_request_bytes": 65536},
        "http_service": {
            "server_uri": {"uri": "http://gateway", "cluster": "gateway", "timeout": "30s"},
            "path_prefix": "/internal/authorize",
        },
    }
    hosts = [{"name": "all", "domains": ["*"], "routes": [to_public, to_model]}]
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "balancer",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": authorize},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"},
            },
        ],
    }
    http = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {"address": _address(port), "filter_chains": [{"filters": [http]}]}


def _cluster(name: str, ports: Sequence[int], readiness: str | None) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    cluster: dict[str, Any] = {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        # Nobody is sent to who is not ready, even if nobody is.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if readiness:
        check = {
            "timeout": "5s",
            "interval": "0.2s",
            "no_traffic_interval": "0.2s",
            "unhealthy_threshold": 1,
            "healthy_threshold": 1,
            "http_health_check": {"path": readiness},
        }
        cluster["health_checks"] = [check]
    return cluster


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
