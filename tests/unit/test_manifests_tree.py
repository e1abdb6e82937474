"""What holds for every file of manifests/, whoever wrote it; manifests/compose is not for a cluster."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.kustomize import MANIFESTS, ROOT, rendered, with_component

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = sorted(
    path for path in MANIFESTS.rglob("*") if path.is_file() and not path.is_relative_to(MANIFESTS / "compose")
)
KUSTOMIZATIONS = [path for path in FILES if path.name == "kustomization.yaml"]


def name(path: Path) -> str:
    return str(path.relative_to(MANIFESTS))


@cache
def content(path: Path) -> tuple[Any, ...]:
    return tuple(yaml.safe_load_all(path.read_text()))


def kustomization(path: Path) -> dict[str, Any]:
    (document,) = content(path)
    return dict(document)


def named_files(document: Any) -> Iterator[str]:
    """Every string in a kustomization that may be the name of a file, and behind `key=` too."""
    if isinstance(document, dict):
        for value in document.values():
            yield from named_files(value)
    elif isinstance(document, list):
        for value in document:
            yield from named_files(value)
    elif isinstance(document, str) and "\n" not in document:
        yield document.rpartition("=")[2]


def values(document: Any, key: str) -> Iterator[Any]:
    if isinstance(document, dict):
        for found, value in document.items():
            if found == key:
                yield value
            yield from values(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from values(value, key)


def test_every_file_is_part_of_a_kustomization() -> None:
    reached = {path.resolve() for path in KUSTOMIZATIONS}
    for path in KUSTOMIZATIONS:
        reached |= {(path.parent / named).resolve() for named in named_files(kustomization(path))}
    assert [name(path) for path in FILES if path.resolve() not in reached] == []


def test_every_folder_is_part_of_an_overlay_or_documented() -> None:
    def reached(folder: Path) -> Iterator[Path]:
        yield folder
        parts = kustomization(folder / "kustomization.yaml")
        for part in (*parts.get("resources", ()), *parts.get("components", ())):
            if (folder / part).is_dir():
                yield from reached((folder / part).resolve())

    folders = {path.parent for path in KUSTOMIZATIONS}
    documentation = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    named = {
        folder
        for folder in folders
        if re.search(rf"\b{re.escape(name(folder))}\b|`{re.escape(folder.name)}`", documentation)
    }
    overlays = {folder for folder in folders if folder.parent.name == "overlays"}
    assert overlays
    parts = {part for folder in overlays | named for part in reached(folder)}
    assert {name(folder) for folder in folders - parts} == set()


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_every_kustomization_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ") or path.parent == MANIFESTS / "base"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_left_to_be_filled_in(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\$\{|CHANGE_?ME|REPLACE_?ME|\bTODO\b|example\.com/(?!maas-api)", text)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_patches_and_replacements_find_their_place_by_name(path: Path) -> None:
    for patch in kustomization(path).get("patches", ()):
        assert not re.search(r"^\s*(- )?path: .*/\d+(/|$)", patch.get("patch", ""), re.MULTILINE)
    for field in values(kustomization(path), "fieldPaths"):
        assert not [entry for entry in field if re.search(r"\.\d+(\.|$)", entry)]


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_every_image_has_a_version(path: Path) -> None:
    component = kustomization(path)["kind"] == "Component"
    files = [path.parent / named for named in kustomization(path).get("resources", ())]
    written = [part for file in files if file.is_file() for part in content(file)]
    documents = written if component else rendered(path.parent)
    for document in documents:
        for image in values(document, "image"):
            assert re.search(r"[^/]:(?!latest$)[^/]+$|@sha256:", image), image


# Included by kustomizations that say whose they are.
PARTS = {MANIFESTS / "models" / "gateway-only", MANIFESTS / "models" / "vllm-runtime"}
# Components that are there in something that is shipped.
FOR_ENVOY_GATEWAY = ("global-limits", "tracing-envoy-gateway")
USED_BY = {
    MANIFESTS / "components" / "model": MANIFESTS / "models" / "your-own-model",
    MANIFESTS / "components" / "tls-self-signed": MANIFESTS / "overlays" / "openshift",
}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_everything_says_that_it_is_part_of_this(path: Path, tmp_path: Path) -> None:
    if path.parent in PARTS:
        return
    folder = path.parent
    if folder in USED_BY:
        folder = USED_BY[folder]
    elif kustomization(path)["kind"] == "Component":
        overlay = "kubernetes" if folder.name in FOR_ENVOY_GATEWAY else "openshift"
        folder = with_component(overlay, folder.name, tmp_path)
    for document in rendered(folder):
        labels = document["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "privatemaas", document["metadata"]["name"]


@pytest.mark.parametrize("path", sorted((MANIFESTS / "operators").rglob("subscription.yaml")), ids=name)
def test_every_subscription_says_which_version_is_assumed(path: Path) -> None:
    (subscription,) = content(path)
    assert subscription["spec"]["channel"]
    assert re.search(r"channel: \S+ # .*Version [\d.]+ .*assumed", path.read_text())
