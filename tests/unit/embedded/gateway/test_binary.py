from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.embedded.gateway import EnvoyNotFoundError, find_envoy
from app.embedded.gateway.binary import packaged_envoy

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "envoy"
    path.touch(mode=0o755)
    return path


def on_path(answer: str | None) -> Callable[[str], str | None]:
    return lambda command: answer if command == "envoy" else None


def test_the_binary_of_the_wheel_comes_first(binary: Path) -> None:
    assert find_envoy(lambda: binary, on_path("/usr/bin/envoy")) == binary


def test_a_wheel_without_a_binary_does_not_count(tmp_path: Path) -> None:
    found = find_envoy(lambda: tmp_path / "missing", on_path("/usr/bin/envoy"))

    assert found == Path("/usr/bin/envoy")


def test_a_file_that_cannot_be_run_does_not_count(binary: Path) -> None:
    binary.chmod(0o644)

    assert find_envoy(lambda: binary, on_path("/usr/bin/envoy")) == Path("/usr/bin/envoy")


def test_without_any_envoy_the_error_says_how_to_get_one() -> None:
    with pytest.raises(EnvoyNotFoundError, match=r"privatemaas\[embedded\].*Envoy 1\.40.*PATH"):
        find_envoy(lambda: None, on_path(None))


def test_the_installed_wheel_is_found() -> None:
    path = packaged_envoy()

    assert path
    assert path.name == "envoy"


@pytest.mark.parametrize("module", [None, object()])
def test_another_package_called_envoy_is_no_envoy(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setitem(sys.modules, "envoy", module)

    assert packaged_envoy() is None
