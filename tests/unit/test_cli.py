"""What `maasctl` offers depends on what is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from app.cli.root import create_cli

if TYPE_CHECKING:
    import pytest


def test_with_the_extra_there_is_the_whole_platform() -> None:
    shown = CliRunner().invoke(create_cli(), ["--help"]).output
    assert all(command in shown for command in ("serve", "up", "cluster", "simulator"))


def test_without_the_extra_there_is_what_a_cluster_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    cli = create_cli()
    for command in ("serve", "deploy", "tiers", "token", "verify", "logs"):
        assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0
    assert CliRunner().invoke(cli, ["up", "--help"]).exit_code == 2
