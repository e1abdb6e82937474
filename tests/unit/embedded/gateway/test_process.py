from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from app.embedded.gateway import EnvoyStartError
from app.embedded.gateway.process import EnvoyProcess
from app.embedded.gateway.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Looks ready to whoever asks its admin interface, which is this little server.
READY = """
import http.server, json, signal, sys
{before}
class Admin(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Admin.asked += 1
        self.send_response(503 if Admin.asked == 1 else 200)
        self.end_headers()
        at = {{"socket_address": {{"address": "127.0.0.1", "port_value": 4321}}}}
        self.wfile.write(json.dumps({{"listener_statuses": [{{"local_address": at}}]}}).encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
path = sys.argv[sys.argv.index("--admin-address-path") + 1]
with open(path, "w") as file: file.write("127.0.0.1:%d" % server.server_port)
server.serve_forever()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return state


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    def program(interpreter: str, text: str) -> Path:
        path = tmp_path / "envoy"
        path.write_text(f"#!/usr/bin/env {interpreter}\n{text}")
        path.chmod(0o755)
        return path

    return program


async def test_it_has_started_when_it_is_ready(
    state: StateDirectory, program: Callable[[str, str], Path]
) -> None:
    envoy = EnvoyProcess(program("python3", READY.format(before="")), state)

    listens, admin = await envoy.start()
    assert listens == ("127.0.0.1", 4321)
    assert state.admin_address.read_text() == "{}:{}".format(*admin)
    watch = asyncio.create_task(envoy.wait(), name="watch")
    await asyncio.sleep(0)
    await envoy.stop()
    assert await watch == -signal.SIGTERM
    await envoy.stop()
    assert await envoy.wait() == 0


async def test_what_does_not_end_is_killed(
    state: StateDirectory, program: Callable[[str, str], Path]
) -> None:
    deaf = READY.format(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    envoy = EnvoyProcess(program("python3", deaf), state, stop_seconds=0.1)
    await envoy.start()
    watch = asyncio.create_task(envoy.wait(), name="watch")
    await asyncio.sleep(0)

    await envoy.stop()

    assert await watch == -signal.SIGKILL


async def test_the_end_of_the_log_is_in_the_error(
    state: StateDirectory, program: Callable[[str, str], Path]
) -> None:
    loud = "for i in $(seq 1 100); do echo line $i >&2; done; exit 3"
    envoy = EnvoyProcess(program("sh", loud), state)

    with pytest.raises(EnvoyStartError, match="exit code 3") as caught:
        await envoy.start()

    lines = str(caught.value).splitlines()
    assert lines[1:] == [f"line {number}" for number in range(81, 101)]
    assert (state.envoy_log.stat().st_mode & 0o777) == 0o600


async def test_what_is_never_ready_is_stopped(
    state: StateDirectory, program: Callable[[str, str], Path]
) -> None:
    envoy = EnvoyProcess(program("sh", "echo waiting >&2; exec sleep 600"), state, start_seconds=0.3)

    with pytest.raises(EnvoyStartError, match=r"not ready within 0\.3 s"):
        await envoy.start()
    assert await envoy.wait() == 0


async def test_an_admin_address_where_nobody_listens_is_not_ready(
    state: StateDirectory, program: Callable[[str, str], Path]
) -> None:
    lie = 'while [ "$1" != --admin-address-path ]; do shift; done; printf 127.0.0.1:1 > "$2"; exec sleep 600'
    envoy = EnvoyProcess(program("sh", lie), state, start_seconds=0.3)

    with pytest.raises(EnvoyStartError, match="not ready"):
        await envoy.start()


async def test_giving_up_leaves_nothing_behind(
    state: StateDirectory, program: Callable[[str, str], Path], tmp_path: Path
) -> None:
    here = tmp_path / "pid"
    envoy = EnvoyProcess(program("sh", f"echo $$ > {here}.new; mv {here}.new {here}; exec sleep 600"), state)
    starting = asyncio.create_task(envoy.start(), name="starting")
    while not await asyncio.to_thread(here.exists):
        pass

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    with pytest.raises(ProcessLookupError):
        os.kill(int(await asyncio.to_thread(here.read_text)), 0)


async def test_a_program_that_cannot_be_run_ends_at_once(state: StateDirectory, tmp_path: Path) -> None:
    with pytest.raises(EnvoyStartError, match=r"exit code 1(.|\n)*No such file"):
        await EnvoyProcess(tmp_path / "missing", state).start()


async def test_without_a_python_to_start_it_the_error_is_the_same_kind(
    state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))

    with pytest.raises(EnvoyStartError, match="cannot be started: No such file"):
        await EnvoyProcess(tmp_path / "envoy", state).start()
