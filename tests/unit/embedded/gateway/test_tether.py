from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.embedded.gateway import tether


@pytest.fixture(autouse=True)
def untied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(tether, "die_with_parent", lambda: asked.append("tied"))
    return asked


def test_the_process_ties_itself_and_becomes_the_program(untied: list[str]) -> None:
    became: list[object] = []

    tether.main(["42", "/bin/envoy", "-c", "x"], parent=lambda: 42, execute=lambda *args: became.append(args))

    assert untied == ["tied"]
    assert became == [("/bin/envoy", ["/bin/envoy", "-c", "x"])]


def test_a_parent_that_ended_meanwhile_is_noticed() -> None:
    with pytest.raises(SystemExit, match="ended"):
        tether.main(["42", "/bin/envoy"], parent=lambda: 1, execute=lambda *_: pytest.fail("it ran"))


def test_it_runs_as_a_script_of_its_own() -> None:
    read, write = os.pipe()
    program = ["/bin/sh", "-c", "echo $PPID; exit 7"]
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *program],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)],
    )
    os.close(write)
    with os.fdopen(read) as output:
        assert int(output.read()) == os.getpid()
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 7
