"""`maasctl` as a process: how it starts, what it says when it cannot, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.loopback import listening
from tests.maasctl import environment, maasctl, question, up
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.maasctl import Up

COMMANDS = ["up", "serve", "cluster", "simulator"]
FREE = ("--port=0", "--cluster-port=0")
ANY_PORT = {"MAAS_HTTP_PUBLIC_PORT": "0", "MAAS_HTTP_GATEWAY_PORT": "0", "MAAS_HTTP_HOST": "127.0.0.1"}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else listens on."""
    with listening() as listener:
        port: int = listener.getsockname()[1]
        yield port


async def run(
    *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command that ends by itself; returns its exit code and what it said."""
    async with maasctl(*arguments, env=environment(**(variables or {})), cwd=cwd) as command:
        code = await command.ended(seconds=30)
    assert "Traceback" not in command.errors + command.output
    return code, command.errors + command.output


def processes_of(state_dir: Path) -> list[int]:
    """The processes that have this directory in their command line, where the system tells (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(state_dir).encode() in command and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


async def connects(url: str) -> bool:
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:  # noqa: S501  # is anyone there?
        try:
            await client.get(url)
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            return True  # Something was there, and went while it was asked.
    return True


async def gone(platform: Up) -> None:
    """Wait until nothing of the platform is left."""
    server = re.search(r"server: (\S+)", platform.kubeconfig.read_text())
    assert server
    admin = (platform.state_dir / "gateway" / "admin-address").read_text().strip()
    for url in (platform.url, server[1], platform.metrics, f"http://{admin}"):
        while await connects(url):
            pass
    while await asyncio.to_thread(processes_of, platform.state_dir):
        pass


def contents(platform: Up) -> dict[str, bytes]:
    """The files of a platform that it does not write to all the time."""
    paths = (path for path in platform.state_dir.rglob("*") if path.is_file() and path.suffix != ".log")
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("option", "other"), [("--port", "--cluster-port=0"), ("--cluster-port", "--port=0")]
)
async def test_a_taken_port_is_named_with_the_option_that_changes_it(
    tmp_path: Path, taken: int, option: str, other: str
) -> None:
    code, said = await run("up", f"{option}={taken}", other, f"--state-dir={tmp_path}")

    assert code == 1
    assert f"{taken}" in said
    assert re.search(rf"maasctl up {option} \d+, or make run ARGS='{option} \d+'", said)
    assert not processes_of(tmp_path)


@pytest.mark.parametrize("command", ["cluster", "simulator"])
async def test_the_parts_name_a_taken_port_too(tmp_path: Path, taken: int, command: str) -> None:
    code, said = await run(command, f"--port={taken}", cwd=tmp_path)
    assert code == 1
    assert f"{taken}" in said
    assert "--port" in said


@pytest.mark.parametrize("app", ["PUBLIC", "GATEWAY"])
async def test_the_service_names_the_variable_of_a_taken_port(taken: int, app: str) -> None:
    variable = f"MAAS_HTTP_{app}_PORT"
    code, said = await run("serve", variables={**ANY_PORT, variable: f"{taken}"})
    assert code == 1
    assert f"port {taken} " in said
    assert variable in said


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")])
async def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals, name: str) -> None:
    async with up(tmp_path) as running:
        token = (await running.person("sha256~alice").issued())["token"]
        # Neither a connection that is kept open nor a watch holds anything up.
        assert (await running.person(token).get("/v1/models")).status_code == 200

        assert await running.maasctl.stop(number) == 0

    async with asyncio.timeout(5):
        await gone(running)
    assert not running.maasctl.errors
    assert f"stopping after {name}" in (tmp_path / "maas-api.log").read_text()
    assert "Traceback" not in (tmp_path / "maas-api.log").read_text()


async def test_an_answer_that_takes_long_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with up(tmp_path, "--first-token=60") as running:
        token = (await running.person("sha256~alice").issued())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        asking = asyncio.create_task(
            running.client.post("/v1/chat/completions", json=question(), headers=headers)
        )
        async with httpx.AsyncClient(trust_env=False) as operator:

            async def arrived() -> bool:
                return 'decision="allowed"' in (await operator.get(running.metrics)).text

            await eventually(arrived)

        running.maasctl.process.send_signal(signal.SIGTERM)
        assert await running.maasctl.ended(seconds=5) == 0
        with pytest.raises(httpx.TransportError):
            await asking


async def test_a_signal_while_it_starts_ends_it_in_good_order(tmp_path: Path) -> None:
    async with maasctl("up", *FREE, f"--state-dir={tmp_path}", env=environment()) as starting:
        await eventually((tmp_path / "lock").exists, seconds=30)
        assert await starting.stop(signal.SIGINT) == 0
    assert "Traceback" not in starting.errors
    assert not processes_of(tmp_path)


if sys.platform == "linux":  # Nowhere else can a child be tied to its parent.

    async def test_envoy_does_not_outlive_a_platform_that_was_killed(tmp_path: Path) -> None:
        async with up(tmp_path) as running:
            assert len(processes_of(tmp_path)) == 2
            running.maasctl.process.kill()
            assert await running.maasctl.ended() == -signal.SIGKILL
        async with asyncio.timeout(5):
            await gone(running)

    async def test_it_ends_with_an_error_when_envoy_does(tmp_path: Path) -> None:
        async with up(tmp_path) as running:
            (envoy,) = set(processes_of(tmp_path)) - {running.maasctl.process.pid}
            os.kill(envoy, signal.SIGKILL)
            assert await running.maasctl.ended() == 1
        assert "Envoy ended with exit code -9" in running.maasctl.errors
        assert str(tmp_path / "maas-api.log") in running.maasctl.errors
        await gone(running)


async def test_it_starts_again_where_it_was_killed(tmp_path: Path) -> None:
    async with up(tmp_path) as killed:
        killed.maasctl.process.kill()
        await killed.maasctl.ended()
    async with up(tmp_path) as again:
        assert (await again.person("sha256~alice").issue()).status_code == 201


async def test_a_second_platform_in_the_same_place_says_so_and_disturbs_nothing(tmp_path: Path) -> None:
    async with up(tmp_path) as first:
        before = contents(first)
        port = first.url.rpartition(":")[2]
        code, said = await run("up", f"--port={port}", "--cluster-port=0", f"--state-dir={tmp_path}")
        assert code == 1
        assert f":{port} " in said
        assert "maasctl up --port" in said

        code, said = await run("up", *FREE, f"--state-dir={tmp_path}")
        assert code == 1
        assert f"another platform runs with its files in {tmp_path}" in said
        assert "maasctl up --state-dir" in said

        assert contents(first) == before
        assert (await first.person("sha256~alice").issue()).status_code == 201


async def test_two_platforms_run_side_by_side(platform: Up, tmp_path: Path) -> None:
    async with up(tmp_path) as other:
        assert (await other.person("sha256~alice").issue()).status_code == 201
        issued = await platform.person("sha256~alice").issued()
        assert (await other.person(issued["token"]).get("/v1/models")).status_code == 401


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_wrong_setting_is_named(tmp_path: Path, command: str) -> None:
    wrong = {"MAAS_TOKENS_MAX_PER_OWNER": "many", "MAAS_LOG_LEVEL": "LOUD"}
    code, said = await run(command, cwd=tmp_path, variables=wrong)
    assert code == 2
    assert "MAAS_TOKENS_MAX_PER_OWNER: Input should be a valid integer" in said
    assert "MAAS_LOG_LEVEL" in said
    assert "many" not in said
    assert not (tmp_path / ".maas").exists()


async def test_a_group_of_settings_that_is_no_json_is_named(tmp_path: Path) -> None:
    code, said = await run("up", cwd=tmp_path, variables={"MAAS_LOG": "loud"})
    assert code == 2
    assert '"log"' in said


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = await run("up", *FREE, "--state-dir=file/state", cwd=tmp_path)
    assert code == 1
    assert "file/state" in said
    assert "--state-dir" in said


@pytest.mark.parametrize("command", ["up", "serve"])
async def test_a_kubeconfig_that_cannot_be_used_is_an_error(tmp_path: Path, command: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("not: a kubeconfig")
    options = ("--port=0", f"--kubeconfig={kubeconfig}") if command == "up" else ()
    variables = {**ANY_PORT, "KUBECONFIG": str(kubeconfig)}
    code, said = await run(command, *options, cwd=tmp_path, variables=variables)
    assert code == 1
    assert "kubeconfig" in said.lower()


async def test_it_runs_from_an_empty_directory_with_an_empty_environment(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    async with up(Path(".maas"), env=env, cwd=home) as running:
        holder = await running.holder("sha256~alice")
        response = await holder.request("POST", "/v1/chat/completions", json=question())
        assert response.status_code == 200
        assert f"export KUBECONFIG={home}/.maas/kubeconfig" in running.maasctl.output
    assert [path.name for path in home.iterdir()] == [".maas"]


async def test_what_it_writes_is_for_its_owners_eyes_only(platform: Up) -> None:
    for secret in platform.state_dir.rglob("*"):
        if secret.suffix in {".key", ".kubeconfig"} or secret.name == "kubeconfig":
            assert secret.stat().st_mode & 0o077 == 0, secret


async def test_the_cluster_runs_alone(tmp_path: Path) -> None:
    async with maasctl("cluster", "--port=0", f"--state-dir={tmp_path}") as cluster:
        server = (await cluster.says(r"(https://localhost:\d+); export KUBECONFIG=(\S+)"))[1]
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:  # noqa: S501  # the double's own CA
            assert (await client.get(f"{server}/version")).status_code == 200
        assert await cluster.stop() == 0


async def test_the_simulator_runs_alone() -> None:
    async with maasctl("simulator", "--port=0", "--model=opt", "--per-token=0") as simulator:
        url = (await simulator.says(r"http://127.0.0.1:\d+/v1"))[0]
        async with httpx.AsyncClient(trust_env=False) as client:
            models = (await client.get(f"{url}/models")).json()["data"]
        assert [model["id"] for model in models] == ["opt"]
        assert await simulator.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_every_command_explains_itself(command: list[str], tmp_path: Path) -> None:
    program = Path(sysconfig.get_path("scripts")) / "maasctl"
    env = environment(COLUMNS="120", TERM="dumb", NO_COLOR="1")
    shown = subprocess.run(
        [program, *command, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )
    assert "Usage: maasctl" in shown.stdout
    assert all(name in shown.stdout for name in (command or COMMANDS))
    assert not shown.stderr
