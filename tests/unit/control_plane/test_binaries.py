from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.control_plane import MissingToolError, binaries, find_binaries, missing_tools

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path) -> Path:
    path.touch(mode=0o755)
    return path


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    directory = tmp_path / "assets"
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built = tmp_path / "built"
    (built / "crds").mkdir(parents=True)
    monkeypatch.setattr(binaries, "BUILT", built)
    monkeypatch.setattr(binaries, "CRDS", built / "crds")
    return built


def test_programs_of_kubebuilder_assets_come_first(assets: Path, nothing_built: Path) -> None:
    program(nothing_built / "kube-apiserver")
    given = binaries.Binaries(program(assets / "kube-apiserver"), program(assets / "etcd"))
    assert find_binaries({"KUBEBUILDER_ASSETS": str(assets)}) == given


def test_what_is_not_among_the_assets_is_taken_from_the_build(assets: Path, nothing_built: Path) -> None:
    built = program(nothing_built / "kube-apiserver")
    etcd = program(assets / "etcd")
    assert find_binaries({"KUBEBUILDER_ASSETS": str(assets)}) == binaries.Binaries(built, etcd)


def test_a_missing_program_is_named_with_what_to_do(assets: Path) -> None:
    with pytest.raises(MissingToolError, match=r"no kube-apiserver in .*assets.*make tools"):
        find_binaries({"KUBEBUILDER_ASSETS": str(assets)})
    assert "no kube-apiserver" in (missing_tools({"KUBEBUILDER_ASSETS": str(assets)}) or "")


def test_a_file_that_cannot_be_run_is_no_program(nothing_built: Path) -> None:
    (nothing_built / "kube-apiserver").touch(mode=0o644)
    assert "no kube-apiserver" in (missing_tools({}) or "")


def test_missing_crds_are_a_reason_too(assets: Path, nothing_built: Path) -> None:
    for name in ("kube-apiserver", "etcd"):
        program(assets / name)
    environ = {"KUBEBUILDER_ASSETS": str(assets)}
    assert missing_tools(environ) is None
    (nothing_built / "crds").rmdir()
    assert "make tools" in (missing_tools(environ) or "")
