from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from starlette.responses import Response

from app.cli.root import create_cli
from app.serving import bind, serving
from app.settings import Settings
from tests.unit.test_manifests import PROJECT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
IMAGES = ("service", "embedded")


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions by stage, each after those of the stage it starts from."""
    made: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            origin, _, name = rest.partition(" AS ")
            made[name] = list(made.get(origin, ()))
        elif name:
            made[name].append((word, rest))
    return made


def last(image: str, word: str) -> str:
    return [rest for found, rest in stages()[image] if found == word][-1]


def test_the_image_that_is_built_without_a_target_is_the_service() -> None:
    assert list(stages())[-1] == "service"
    assert not any("embedded" in rest for _, rest in stages()["build-service"])


def test_every_source_is_in_the_checkout_and_sent_to_the_build() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source.removeprefix('./')}" in sent


def test_what_one_stage_takes_from_another_is_a_stage() -> None:
    taken = re.findall(r"--from=(\S+)", TEXT)
    assert taken
    assert set(taken) <= stages().keys()


def test_the_base_image_is_pinned_and_of_a_python_that_is_supported() -> None:
    (tag,) = (rest.removeprefix("PYTHON=") for word, rest in instructions() if word == "ARG")
    assert re.fullmatch(r"3\.\d+-slim-[a-z]+", tag)
    assert tuple(map(int, tag.split("-")[0].split("."))) >= (3, 11)
    assert "latest" not in TEXT


@pytest.mark.parametrize("image", IMAGES)
def test_it_does_not_run_as_root(image: str) -> None:
    user, _, group = last(image, "USER").partition(":")
    assert int(user) > 0
    assert group == "0"


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_is_written_while_it_runs_but_to_tmp(image: str) -> None:
    environment = " ".join(rest for word, rest in stages()[image] if word == "ENV")
    assert "HOME=/tmp" in environment
    assert "PYTHONDONTWRITEBYTECODE=1" in environment


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_maasctl_serve(image: str) -> None:
    assert json.loads(last(image, "ENTRYPOINT")) == ["maasctl"]
    assert json.loads(last(image, "CMD")) == ["serve"]
    http = Settings.model_fields["http"].default
    assert last(image, "EXPOSE") == f"{http.public_port} {http.gateway_port}"


def test_the_command_is_there_without_what_the_service_image_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    command = typer.main.get_command(create_cli())
    commands = set(getattr(command, "commands", {}))
    assert "serve" in commands
    assert not commands & {"up", "cluster", "simulator"}


def test_its_label_names_the_version_of_the_project() -> None:
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in last("service", "LABEL")


def test_every_constraint_is_one_that_pip_takes() -> None:
    for line in (ROOT / ".constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
async def test_the_health_check_tells_a_service_that_answers(status: int | None, *, healthy: bool) -> None:
    listener = bind("healthz", "127.0.0.1", 0)
    command = json.loads(last("service", "HEALTHCHECK").partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    address = f"http://127.0.0.1:{Settings.model_fields['http'].default.gateway_port}/healthz"
    assert address in command[2]
    code = command[2].replace(address, f"http://127.0.0.1:{listener.port}/healthz")
    if status is None:
        listener.socket.close()
        assert await exit_code(code) != 0
        return
    async with serving((Response(status_code=status), listener), shutdown_seconds=1):
        assert (await exit_code(code) == 0) is healthy


async def exit_code(code: str) -> int:
    result = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, check=False, timeout=20
    )
    return result.returncode
