"""`maasctl serve` as a process of its own, seen from outside: when it is ready, and what memory it takes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_POLL_SECONDS = 0.01
_LISTED = re.compile(r"serviceaccounts: listed \d+ in ([0-9.]+) s")


@dataclass
class ServiceProcess:
    """A running service.

    Attributes:
        public: port of the public app.
        gateway: port of the gateway app.
        ready_seconds: from the start of the process to the first `/readyz` that says ok.
        ready_processor_seconds: of the processor, until then.
    """

    pid: int
    public: int
    gateway: int
    log: Path
    ready_seconds: float = 0.0
    ready_processor_seconds: float = 0.0

    def memory(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return self._status("VmRSS")

    def peak_memory(self) -> float:
        """The most resident memory there ever was, in MB (10^6 bytes)."""
        return self._status("VmHWM")

    def processor(self) -> float:
        """Processor seconds that it has used, which do not depend on what else the machine does."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lists(self) -> list[float]:
        """How many seconds each complete list of the ServiceAccounts took."""
        return [float(found) for found in _LISTED.findall(self.log.read_text())]

    def _status(self, key: str) -> float:
        found = re.search(rf"^{key}:\s+(\d+) kB$", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        return int(found.group(1)) * 1024 / 1e6 if found else 0.0


@asynccontextmanager
async def service_process(
    directory: Path, *, kubeconfig: Path, namespace: str, within_seconds: float = 300
) -> AsyncIterator[ServiceProcess]:
    """Start it, and wait until it is ready."""
    public, gateway = free_port(), free_port()
    log = directory / f"{namespace}.log"
    environment = {
        **os.environ,
        "MAAS_KUBECONFIG": str(kubeconfig),
        "MAAS_NAMESPACE": namespace,
        "MAAS_HTTP_HOST": "127.0.0.1",
        "MAAS_HTTP_PUBLIC_PORT": str(public),
        "MAAS_HTTP_GATEWAY_PORT": str(gateway),
        "MAAS_LOG_FORMAT": "text",
        "MAAS_HTTP_DRAIN_SECONDS": "0",
    }
    started = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "serve", env=environment, stdout=output, stderr=output
        )
    running = ServiceProcess(process.pid, public, gateway, log)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(within_seconds):
            while not await _ready(session, gateway):
                if process.returncode is not None:
                    raise SystemExit(f"the service ended: {log.read_text()[-2000:]}")
                await asyncio.sleep(_POLL_SECONDS)
        running.ready_seconds = time.monotonic() - started
        running.ready_processor_seconds = running.processor()
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200 and (await response.json())["status"] == "ok"  # noqa: PLR2004
    except (aiohttp.ClientError, OSError):
        return False
