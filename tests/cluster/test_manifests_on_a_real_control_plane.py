"""Every folder of manifests/ against a real kube-apiserver that holds the real CRDs.

Of a few kinds there are no real CRDs to be had: tests/tools/crds/opendatahub.yaml says which, and what is
checked.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.control_plane import CRDS, ControlPlane
from tests.kubectl import Kubectl
from tests.kustomize import MANIFESTS, ROOT, as_documented, yaml_blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.control_plane import Binaries

pytestmark = pytest.mark.cluster

KUSTOMIZATIONS = {
    path.parent: yaml.safe_load(path.read_text()) for path in MANIFESTS.rglob("kustomization.yaml")
}
COMPONENTS = sorted(path for path, content in KUSTOMIZATIONS.items() if content["kind"] == "Component")
FOLDERS = sorted(KUSTOMIZATIONS.keys() - set(COMPONENTS))
# The profile of each component that is for one only. `model` is for models: ../models/your-own-model has it.
PROFILES = {
    "token-limits": "kuadrant",
    "console": "kuadrant",
    "global-limits": "envoy-gateway",
    "tracing-envoy-gateway": "envoy-gateway",
}

# The kustomizations that the documentation has people write.
DOCUMENTED = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(yaml_blocks(page))
    if "PrivateMaaS/manifests" in block
]


def name(folder: Path) -> str:
    return str(folder.relative_to(MANIFESTS))


def definitions() -> list[Path]:
    """The CRD files of every kind that occurs in the manifests; all there are would take half a minute."""
    used = {
        kind
        for path in MANIFESTS.rglob("*.yaml")
        for kind in re.findall(r"^kind: (\w+)", path.read_text(), re.MULTILINE)
    }
    return [
        path
        for path in sorted(CRDS.rglob("*.yaml"))
        if used.intersection(re.findall(r"^    kind: (\w+)$", path.read_text(), re.MULTILINE))
    ]


@pytest.fixture(scope="module")
async def full_control_plane(binaries: Binaries) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(binaries) as started:
        await started.install_crds(definitions())
        yield started


@pytest.fixture(scope="module")
def kubectl(full_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(full_control_plane.admin_kubeconfig, tmp_path_factory.mktemp("kubectl"))


def write_kustomization(directory: Path, component: Path, profile: str) -> None:
    changed = (MANIFESTS / "base", MANIFESTS / "gateway", MANIFESTS / "policies" / profile)
    here = {
        "resources": [os.path.relpath(folder, directory) for folder in changed],
        "components": [os.path.relpath(component, directory)],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(here))


async def check(folder: Path, kubectl: Kubectl, control_plane: ControlPlane) -> list[dict[str, Any]]:
    """Have the API server accept everything in `folder`, without keeping it; return what that is."""
    rendered = await kubectl.ok("kustomize", str(folder))
    documents = list(yaml.safe_load_all(rendered))
    for namespace in {document["metadata"].get("namespace") for document in documents} - {None}:
        await control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    # With their labels, by which the API server warns of pods that are not as restricted as they say.
    for document in documents:
        if document["kind"] == "Namespace":
            await control_plane.apply(document)
    apply = (
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "--dry-run=server",
        "-f",
        "-",
    )
    accepted = await kubectl.ok(*apply, stdin=rendered)
    assert "Warning" not in accepted
    assert len(re.findall(r"serverside-applied \(server dry run\)$", accepted, re.MULTILINE)) == len(
        documents
    )
    return documents


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
async def test_it_is_accepted_as_it_is(
    folder: Path, kubectl: Kubectl, full_control_plane: ControlPlane
) -> None:
    assert await check(folder, kubectl, full_control_plane)


@pytest.mark.parametrize(
    ("component", "profile"),
    [
        (component, profile)
        for component in COMPONENTS
        for profile in ("kuadrant", "envoy-gateway")
        if PROFILES.get(component.name, profile) == profile and component.name != "model"
    ],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
async def test_a_component_is_accepted_with_what_it_changes(
    component: Path, profile: str, kubectl: Kubectl, full_control_plane: ControlPlane, tmp_path: Path
) -> None:
    write_kustomization(tmp_path, component, profile)
    await check(tmp_path, kubectl, full_control_plane)


@pytest.mark.parametrize(("page", "block"), DOCUMENTED)
async def test_what_the_documentation_shows_is_accepted(
    page: Path, block: str, kubectl: Kubectl, full_control_plane: ControlPlane, tmp_path: Path
) -> None:
    as_documented(page, block, tmp_path)
    await check(tmp_path, kubectl, full_control_plane)


async def test_a_pod_that_is_not_restricted_is_warned_of(
    kubectl: Kubectl, full_control_plane: ControlPlane, tmp_path: Path
) -> None:
    write_kustomization(tmp_path, MANIFESTS / "components" / "global-limits", "envoy-gateway")
    await check(tmp_path, kubectl, full_control_plane)
    rendered = await kubectl.ok("kustomize", str(tmp_path))
    loose = rendered.replace("runAsNonRoot: true", "runAsNonRoot: false")
    output = await kubectl.ok(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=loose
    )
    assert "Warning: would violate PodSecurity" in output


async def test_a_misspelt_field_is_refused(kubectl: Kubectl, full_control_plane: ControlPlane) -> None:
    rendered = await kubectl.ok("kustomize", str(MANIFESTS / "policies" / "kuadrant"))
    await full_control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maas"}})
    code, output = await kubectl(
        *("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-"),
        stdin=rendered.replace("authorizationGroups:", "authorisationGroups:"),
    )
    assert code != 0
    assert "authorisationGroups" in output


async def test_a_kind_without_a_definition_is_refused(
    kubectl: Kubectl, full_control_plane: ControlPlane
) -> None:
    assert full_control_plane.url
    unicorn = "{apiVersion: example.com/v1, kind: Unicorn, metadata: {name: u}}"
    code, output = await kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=unicorn)
    assert code != 0
    assert 'no matches for kind "Unicorn"' in output
