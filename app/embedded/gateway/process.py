"""The Envoy process: start it, know when it is ready, end it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from app.embedded.gateway import tether
from app.embedded.gateway.errors import EnvoyStartError

if TYPE_CHECKING:
    from app.embedded.gateway.addresses import Address
    from app.embedded.gateway.state import StateDirectory

_POLL_SECONDS = 0.05
_LINES_SHOWN = 20
_BYTES_READ = 16 * 1024


class EnvoyProcess:
    """One Envoy, a child of this process that ends with it.

    Args:
        envoy: The binary.
        state: Where its bootstrap configuration is and its log goes.
        concurrency: Worker threads.
        start_seconds: How long it may take until it is ready.
        stop_seconds: How long it may take to end before it is killed.
    """

    def __init__(
        self,
        envoy: Path,
        state: StateDirectory,
        *,
        concurrency: int = 2,
        start_seconds: float = 30,
        stop_seconds: float = 5,
    ) -> None:
        self._envoy = envoy
        self._state = state
        self._concurrency = max(1, min(concurrency, os.cpu_count() or 1))
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> tuple[Address, Address]:
        """Start Envoy and return where it and its admin interface listen, once it is ready to serve.

        Raises:
            EnvoyStartError: It ended or was not ready in time.
        """
        log = await asyncio.to_thread(self._open_log)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C is for the parent, which then stops Envoy in its turn. Where the kernel does
                # not tether the two, Envoy had better hear what the terminal says.
                start_new_session=sys.platform == "linux",
            )
        except OSError as error:
            raise EnvoyStartError(f"Envoy cannot be started: {error.strerror}.") from error
        finally:
            os.close(log)
        try:
            async with asyncio.timeout(self._start_seconds):
                return await self._ready(self._process)
        except TimeoutError as error:
            raise await self._failure(f"Envoy was not ready within {self._start_seconds:g} s") from error
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Return Envoy's exit code when it ends, by itself or because it was stopped."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> None:
        """End Envoy: SIGTERM, then SIGKILL when that was not enough. Once it has ended, do nothing."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            # Not `timeout`: in a task that was cancelled, Python before 3.11.3 makes a CancelledError of it.
            await asyncio.wait_for(process.wait(), self._stop_seconds)
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
        await process.wait()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid())),
            str(self._envoy),
            *("--config-path", str(self._state.bootstrap)),
            *("--admin-address-path", str(self._state.admin_address)),
            *("--concurrency", str(self._concurrency)),
            *("--log-level", "warning"),
            *("--file-flush-interval-msec", "1000"),
            # Only a hot restart needs what several Envoys on one machine would fight over.
            "--disable-hot-restart",
        ]

    def _open_log(self) -> int:
        self._state.admin_address.unlink(missing_ok=True)
        return os.open(self._state.envoy_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    async def _ready(self, process: asyncio.subprocess.Process) -> tuple[Address, Address]:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while process.returncode is None:
                addresses = await self._listening(client)
                if addresses is not None:
                    return addresses
                await asyncio.sleep(_POLL_SECONDS)
        raise await self._failure(f"Envoy ended with exit code {process.returncode}")

    async def _listening(self, client: httpx.AsyncClient) -> tuple[Address, Address] | None:
        admin = await asyncio.to_thread(_read_tail, self._state.admin_address)
        if not admin:
            return None
        try:
            if (await client.get(f"http://{admin}/ready")).status_code != httpx.codes.OK:
                return None
            listeners = (await client.get(f"http://{admin}/listeners?format=json")).json()
        except httpx.TransportError:
            return None
        host, _, port = admin.rpartition(":")
        return _first_address(listeners), (host.strip("[]"), int(port))

    async def _failure(self, what: str) -> EnvoyStartError:
        await self.stop()
        log = await asyncio.to_thread(_read_tail, self._state.envoy_log)
        return EnvoyStartError("\n".join([f"{what}. Its log ends:", *log.splitlines()[-_LINES_SHOWN:]]))


def _read_tail(path: Path) -> str:
    try:
        return path.read_bytes()[-_BYTES_READ:].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _first_address(listeners: dict[str, Any]) -> Address:
    address = listeners["listener_statuses"][0]["local_address"]["socket_address"]
    return address["address"], address["port_value"]
