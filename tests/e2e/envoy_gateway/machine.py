"""`envoy-gateway` as a process on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from app.embedded.gateway import find_envoy
from tests.control_plane.process import Process
from tests.e2e.envoy_gateway.standalone import ENVOY_VERSION, configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import httpx

_START_SECONDS = 30
_WAIT_SECONDS = 300

# For tests that may have to wait until somebody else's `envoy-gateway` has ended.
PATIENT = pytest.mark.timeout(_WAIT_SECONDS + 120)


@asynccontextmanager
async def only_envoy_gateway() -> AsyncIterator[None]:
    """Be the only one who runs `envoy-gateway` on this machine.

    It listens on ports that cannot be chosen: 18000 for its Envoy, 8081, and more.
    """
    with _lock_file() as lock:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < deadline, "another envoy-gateway keeps running on this machine"
                await asyncio.sleep(0.1)
            else:
                break
        yield


@asynccontextmanager
async def envoy_gateway(
    program: Path,
    directory: Path,
    resources: Sequence[dict[str, Any]],
    client: httpx.AsyncClient,
    health: str,
    *,
    redis: str | None = None,
) -> AsyncIterator[None]:
    """Run `program` standalone with these resources; `client` gets a good answer from `health` through it.

    With `redis` (`host:port`) it hands out the global limits too, to a `rate_limit_service`.
    """
    envoy = directory / "dataHome" / "envoy-versions" / ENVOY_VERSION / "bin" / "envoy"
    envoy.parent.mkdir(parents=True)
    envoy.symlink_to(find_envoy())
    folder = directory / "resources"
    folder.mkdir()
    (folder / "resources.yaml").write_text(yaml.safe_dump_all(resources, sort_keys=False))
    settings = directory / "envoy-gateway.yaml"
    settings.write_text(yaml.safe_dump(configuration(directory, folder, redis)))
    certificates = await asyncio.create_subprocess_exec(
        *(program, "certgen", "--local", "--config-home", directory / "configHome"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await certificates.wait() == 0
    log = directory / "envoy-gateway.log"
    process = Process(program, ["server", "--config-path", str(settings)], log=log)
    await process.start(client, health, within_seconds=_START_SECONDS)
    try:
        yield
    finally:
        await process.kill()  # The kernel ends its Envoy with it.


@contextlib.contextmanager
def _lock_file() -> Iterator[int]:
    path = Path(tempfile.gettempdir()) / "privatemaas-envoy-gateway.lock"
    with path.open("a") as file:
        yield file.fileno()
