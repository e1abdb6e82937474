from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.embedded.gateway import EnvoyStartError, LocalGateway, PortTakenError
from tests.loopback import free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.embedded.gateway.conftest import Backends, Stage

    Running = Callable[..., AbstractAsyncContextManager[Stage]]

NOWHERE: dict[str, Any] = {
    "public_app": ("127.0.0.1", 1),
    "gateway_app": ("127.0.0.1", 1),
    "model": ("127.0.0.1", 1),
}


async def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with listening() as taken:
        host, port = taken.getsockname()
        gateway = LocalGateway(tmp_path, listen=(host, port), **NOWHERE)

        with pytest.raises(PortTakenError, match=f"127.0.0.1:{port} ") as caught:
            await gateway.start()

    assert caught.value.port == port
    assert not await asyncio.to_thread(os.listdir, tmp_path)


async def test_the_last_words_of_envoy_are_in_the_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "access.log"
    gateway = LocalGateway(tmp_path, listen=("127.0.0.1", 0), access_log=missing, **NOWHERE)

    with pytest.raises(EnvoyStartError, match=r"exit code 1(.|\n)*unable to open file"):
        await gateway.start()
    assert await gateway.wait() == 0
    await gateway.stop()


async def test_it_starts_again_with_the_same_certificates(running: Running) -> None:
    async with running() as stage:
        first = stage.gateway.ca_certificate.read_bytes()
    async with running() as stage:
        assert stage.gateway.ca_certificate.read_bytes() == first
        assert (await stage.chat("free:alice")).status_code == 200


async def test_a_client_that_does_not_know_the_ca_does_not_connect(stage: Stage) -> None:
    host, port = stage.gateway.address
    async with httpx.AsyncClient(trust_env=False) as stranger:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await stranger.get(f"https://{host}:{port}/maas-api/tier")


async def test_two_gateways_run_side_by_side(running: Running, tmp_path: Path, backends: Backends) -> None:
    addresses: dict[str, Any] = {**backends.addresses}
    other = LocalGateway(tmp_path / "other", listen=("127.0.0.1", 0), **addresses)
    async with running() as stage, other:
        assert stage.gateway.address != other.address
        assert (await stage.chat("free:alice")).status_code == 200


async def test_what_is_in_force_already_is_not_written_again(stage: Stage, tmp_path: Path) -> None:
    def versions() -> set[tuple[str, int]]:
        return {(path.name, path.stat().st_ino) for path in (tmp_path / "gateway" / "live").iterdir()}

    before = versions()
    stage.gateway.update({"premium": 100, "free": 3}, ["granite", "opt", "opt"])

    assert versions() == before
    assert {name for name, _ in before} == {"routes.json", "limits.json"}


async def test_a_senseless_limit_changes_nothing(stage: Stage) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        stage.gateway.update({"free": 0}, ["mistral"])

    assert (await stage.chat("free:alice")).headers["x-ratelimit-limit"] == "3"


async def test_the_access_log_has_a_json_line_per_request_and_no_token(
    running: Running, tmp_path: Path
) -> None:
    async with running() as stage:
        secret = {"x-forwarded-access-token": "sha256~t0ps3cret", "cookie": "t0ps3cret"}
        response = await stage.chat("premium:alice:t0ps3cret", headers=secret)
        await stage.client.get("/maas-api/tier?access_token=t0ps3cret", headers=secret)
        await stage.client.get("/elsewhere")

    text = (tmp_path / "gateway" / "access.log").read_text()
    assert "t0ps3cret" not in text
    chat, tier, elsewhere = [json.loads(line) for line in text.splitlines()]
    assert chat["requestId"] == response.headers["x-request-id"]
    assert (chat["user"], chat["tier"], chat["model"]) == ("alice", "premium", "opt")
    assert (chat["method"], chat["path"], chat["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (tier["path"], tier["route"]) == ("/maas-api/tier", "maas-api")
    assert elsewhere["status"] == 404


async def test_the_admin_interface_shows_but_changes_nothing(
    running: Running,
) -> None:
    port = free_port()
    async with running(admin=("127.0.0.1", port)) as stage, httpx.AsyncClient(trust_env=False) as admin:
        url = f"http://127.0.0.1:{port}"

        assert (await admin.get(f"{url}/stats/prometheus")).status_code == 200
        for path in ("/quitquitquit", "/config_dump", "/runtime_modify?a=b", "/certs"):
            assert (await admin.post(url + path)).status_code == 403
        assert (await stage.chat("free:alice")).status_code == 200


async def test_an_envoy_that_ends_by_itself_is_noticed(stage: Stage) -> None:
    watch = asyncio.create_task(stage.gateway.wait(), name="watch")
    await asyncio.sleep(0)
    # Other suites have Envoys in this process too; ours is the one with these files.
    (pid,) = await children(os.getpid(), str(stage.gateway.ca_certificate.parents[1]))
    os.kill(pid, signal.SIGKILL)

    assert await asyncio.wait_for(watch, 5) == -signal.SIGKILL
    await stage.gateway.stop()
    await stage.gateway.stop()


if sys.platform == "linux":  # Nowhere else can a child be tied to its parent.

    async def test_envoy_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
        script = (
            "import asyncio, pathlib, sys; from app.embedded.gateway import LocalGateway\n"
            "async def main():\n"
            "    at = ('127.0.0.1', 0)\n"
            "    state = pathlib.Path(sys.argv[1])\n"
            "    await LocalGateway(state, listen=at, public_app=at, gateway_app=at, model=at).start()\n"
            "    print('started', flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())"
        )
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout
        assert await asyncio.wait_for(parent.stdout.readline(), 20) == b"started\n"
        (envoy,) = await children(parent.pid)

        parent.kill()
        await parent.wait()

        async with asyncio.timeout(5):
            while await asyncio.to_thread(alive, envoy):
                pass


async def children(parent: int, named: str = "envoy") -> list[int]:
    listing = await asyncio.create_subprocess_exec(
        *("ps", "-A", "-ww", "-o", "pid=,ppid=,args="), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    rows = [line.split(None, 2) for line in out.decode().splitlines()]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and named in args]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
