"""One program of the control plane, as a child process that ends with this one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from app.embedded.gateway import tether
from tests.control_plane.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_POLL_SECONDS = 0.05
_LINES_SHOWN = 20
_BYTES_READ = 32 * 1024


class Process:
    """A program that writes its log to a file, and can be stopped and started again.

    Args:
        program: the program.
        arguments: its arguments.
        log: where its output goes.
        variables: environment variables beside those of the tests.
    """

    def __init__(
        self,
        program: Path,
        arguments: Sequence[str],
        *,
        log: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._log = log
        self._variables = dict(variables or {})
        self._process: asyncio.subprocess.Process | None = None

    async def launch(self) -> None:
        """Start the program; it is for the caller to find out when it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid())),
                *(str(self._program), *self._arguments),
                env={**os.environ, **self._variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for pytest, whose fixtures then stop the program.
                start_new_session=True,
            )

    async def start(self, client: httpx.AsyncClient, health: str, *, within_seconds: float) -> None:
        """Start the program and wait until `client` gets a good answer from the path `health`.

        Raises:
            ControlPlaneError: It ended or was not ready in time; the message has the end of its log.
        """
        await self.launch()
        try:
            async with asyncio.timeout(within_seconds):
                await self._ready(self._running(), client, health)
        except TimeoutError as error:
            await self.kill()
            raise self._failure(f"was not ready within {within_seconds:g} s") from error
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End it at once, as a crash would; nothing is done if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    def freeze(self) -> None:
        """Let it do nothing, with all its connections open, until `thaw`."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ControlPlaneError(f"{self._program.name} does not run")
        return self._process

    async def _ready(
        self, process: asyncio.subprocess.Process, client: httpx.AsyncClient, health: str
    ) -> None:
        while not await _healthy(client, health):
            if process.returncode is not None:
                raise self._failure(f"ended with exit code {process.returncode}")
            await asyncio.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> ControlPlaneError:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _BYTES_READ))
            lines = log.read().decode(errors="replace").splitlines()[-_LINES_SHOWN:]
        return ControlPlaneError("\n".join([f"{self._program.name} {what}. Its log ends:", *lines]))


async def _healthy(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).is_success
    except httpx.TransportError:
        return False
