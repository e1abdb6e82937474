"""`maasctl` as a person runs it: a process of its own, started, read and stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_START_SECONDS = 60
_STOP_SECONDS = 15


def environment(**variables: str) -> dict[str, str]:
    """The environment of the tests, without what would set up maasctl, and with `variables`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAAS_") and name != "KUBECONFIG"
    }
    return {**inherited, **variables}


class Maasctl:
    """A process, and what it has said so far.

    Attributes:
        process: the process.
        output: its standard output.
        errors: its standard error.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.output = ""
        self.errors = ""
        self._reading = [
            asyncio.create_task(self._read("output", process.stdout), name="maasctl's output"),
            asyncio.create_task(self._read("errors", process.stderr), name="maasctl's errors"),
        ]

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has said this, wherever."""

        def said() -> re.Match[str] | None:
            found = re.search(pattern, self.output) or re.search(pattern, self.errors)
            assert found or not all(task.done() for task in self._reading), self.output + self.errors
            return found

        found: re.Match[str] = await eventually(said, seconds=_START_SECONDS)
        return found

    async def ended(self, *, seconds: float = _STOP_SECONDS) -> int:
        """Its exit code, once it has ended and all it said was read."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await asyncio.gather(*self._reading)
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return await self.ended()

    async def _read(self, name: str, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            setattr(self, name, getattr(self, name) + chunk.decode())


@asynccontextmanager
async def maasctl(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Maasctl]:
    """Run a command; if it still runs when the context ends, it is stopped."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment() if env is None else env,
        cwd=cwd,
    )
    running = Maasctl(process)
    try:
        yield running
        if process.returncode is None:
            await running.stop()
    finally:
        if process.returncode is None:
            process.kill()
        await running.ended()


@dataclass(frozen=True)
class Up:
    """A platform that `maasctl up` runs.

    Attributes:
        maasctl: the process.
        state_dir: where its files are.
        url: of the gateway.
        metrics: the address of the metrics.
        client: a client of the gateway, who trusts its certificate.
    """

    maasctl: Maasctl
    state_dir: Path
    url: str
    metrics: str
    client: httpx.AsyncClient

    @property
    def kubeconfig(self) -> Path:
        return self.state_dir / "kubeconfig"

    @property
    def gateway_app(self) -> str:
        return self.metrics.removesuffix("/metrics")

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.state_dir / "gateway" / "certificates" / "ca.pem"))

    def person(self, token: str) -> Caller:
        """Whoever holds this caller token, or this MaaS token."""
        return Caller(self.client, token)

    async def holder(self, caller_token: str) -> Caller:
        """Someone with a new MaaS token of a person's."""
        return self.person((await self.person(caller_token).issued())["token"])


@asynccontextmanager
async def up(
    state_dir: Path, *options: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Up]:
    """Run `maasctl up` on free ports, with a model that does not take its time."""
    arguments = ("up", "--port=0", "--cluster-port=0", "--per-token=0", f"--state-dir={state_dir}", *options)
    async with maasctl(*arguments, env=env, cwd=cwd) as running:
        await running.says(r"Log: +\S+\n")
        url = (await running.says(r"is up: (https://localhost:\d+) "))[1]
        metrics = (await running.says(r"Metrics: +(http://\S+)\n"))[1]
        path = (cwd or Path()) / state_dir
        trust = ssl.create_default_context(cafile=str(path / "gateway" / "certificates" / "ca.pem"))
        async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False, timeout=30) as client:
            yield Up(running, path, url, metrics, client)


def question(model: str = "qwen3", content: str = "Hello!", **options: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **options}


async def chat(holder: Caller, model: str = "qwen3", **options: Any) -> httpx.Response:
    """The answer to a chat request."""
    return await holder.request("POST", "/v1/chat/completions", json=question(model, **options))
