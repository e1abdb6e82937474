"""`maasctl serve` as a process of its own, seen from outside: when it is ready, and what it takes."""

from __future__ import annotations

import re
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from bench.programs import Program, program
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_LISTED = re.compile(r"serviceaccounts: listed \d+ in ([0-9.]+) s")


@dataclass(frozen=True)
class ServiceProcess:
    """A running service.

    Attributes:
        program: its process.
        public: port of the public app.
        gateway: port of the gateway app.
        ready_seconds: from the start of the process to the first `/readyz` that says ok.
    """

    program: Program
    public: int
    gateway: int
    ready_seconds: float

    def lists(self) -> list[float]:
        """How many seconds each complete list of the ServiceAccounts took."""
        return [float(found) for found in _LISTED.findall(self.program.log.read_text())]


@asynccontextmanager
async def service_process(
    directory: Path, *, kubeconfig: Path, namespace: str, within_seconds: float = 300
) -> AsyncIterator[ServiceProcess]:
    """Start it, and wait until it is ready.

    Its settings are those that it is shipped with, but for where it listens and that it does not wait for a
    load balancer when it stops.

    Raises:
        ProgramError: it did not start.
    """
    public, gateway = free_port(), free_port()
    variables = {
        "MAAS_KUBECONFIG": str(kubeconfig),
        "MAAS_NAMESPACE": namespace,
        "MAAS_HTTP_HOST": "127.0.0.1",
        "MAAS_HTTP_PUBLIC_PORT": str(public),
        "MAAS_HTTP_GATEWAY_PORT": str(gateway),
        "MAAS_LOG_FORMAT": "json",
        "MAAS_HTTP_DRAIN_SECONDS": "0",
    }
    started = time.monotonic()
    async with program(
        [sys.executable, "-m", "app", "serve"],
        log=directory / f"{namespace}.log",
        ready=f"http://127.0.0.1:{gateway}/readyz",
        variables=variables,
        is_ready=_ok,
        within_seconds=within_seconds,
    ) as running:
        yield ServiceProcess(running, public, gateway, time.monotonic() - started)


def _ok(status: int, body: bytes) -> bool:
    return status == 200 and orjson.loads(body)["status"] == "ok"  # noqa: PLR2004
