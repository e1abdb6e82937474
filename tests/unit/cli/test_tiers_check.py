"""`maasctl tiers check` needs no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from app.cli.root import create_cli

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "tiers: {free: {groups: [everyone], rateLimit: {requestsPerMinute: 10}}}\n"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def test_a_good_mapping_is_shown_with_what_to_wonder_about(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text(GOOD)

    result = CliRunner().invoke(create_cli(), ["tiers", "check", "mapping.yaml"])

    assert result.exit_code == 0
    assert "│ free │ everyone │" in result.stdout
    assert "warning: no tier has the group system:authenticated" in result.stdout


def test_standard_input_is_read_too() -> None:
    result = CliRunner().invoke(create_cli(), ["tiers", "check", "-"], input=GOOD)
    assert result.exit_code == 0
    result = CliRunner().invoke(create_cli(), ["tiers", "check", "-"], input="tiers: 1")
    assert result.exit_code == 1
    assert "standard input:1:8: tiers: expected" in result.stderr


def test_a_bad_mapping_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text("tiers: {free: {groups: [1]}}")

    result = CliRunner().invoke(create_cli(), ["tiers", "check", "mapping.yaml"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "mapping.yaml:1:25: tiers.free.groups[0]" in result.stderr


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_wrong_usage(name: str) -> None:
    result = CliRunner().invoke(create_cli(), ["tiers", "check", name])
    assert result.exit_code == 2
    assert f"{name} cannot be read" in result.stderr
