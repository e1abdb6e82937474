from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.embedded.gateway.resource_file import ResourceFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "routes.json"


def test_a_resource_is_wrapped_for_envoy(path: Path) -> None:
    assert ResourceFile(path).write({"name": "a"})

    content = json.loads(path.read_text())
    assert content["resources"] == [{"name": "a"}]
    assert content["version_info"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_resource_replaces_the_file_at_once(path: Path, tmp_path: Path) -> None:
    ResourceFile(path).write({"name": "a"})
    before = path.stat().st_ino

    assert ResourceFile(path).write({"name": "b"})

    assert path.stat().st_ino != before
    assert [entry.name for entry in tmp_path.iterdir()] == ["routes.json"]


def test_the_same_resource_is_not_written_again(path: Path) -> None:
    ResourceFile(path).write({"name": "a", "value": 1})
    before = path.stat().st_ino

    assert not ResourceFile(path).write({"value": 1, "name": "a"})
    assert path.stat().st_ino == before
