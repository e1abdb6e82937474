"""A model of one's own, as docs/models.md has it: the model, and a component with all around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.kustomize import MANIFESTS, ROOT, as_documented, rendered, yaml_blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "models.md"
EXAMPLE = "your-own-model"


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    """The documented one, beside a checkout, with a name that has the delimiter of others in it."""
    (documented,) = (block for block in yaml_blocks(PAGE) if "components/model" in block)
    return as_documented(PAGE, documented, tmp_path)


def by_kind(folder: Path) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in rendered(folder)}


def test_the_name_in_the_model_is_the_only_one_to_give(kustomization: Path) -> None:
    documents = by_kind(kustomization)
    name = documents["InferenceService"]["metadata"]["name"]
    assert "-" in name
    (rule,) = documents["HTTPRoute"]["spec"]["rules"]
    assert rule["matches"][0]["headers"] == [{"name": "x-maas-model", "value": name}]
    assert rule["backendRefs"] == [{"name": f"{name}-predictor", "port": 80}]
    assert documents["Role"]["rules"][0]["resourceNames"] == [name]
    assert documents["RoleBinding"]["roleRef"]["name"] == documents["Role"]["metadata"]["name"] == name
    assert documents["HTTPRoute"]["metadata"]["name"] == name


def test_everything_is_in_the_namespace_that_the_kustomization_names(kustomization: Path) -> None:
    documents = by_kind(kustomization)
    namespace = yaml.safe_load((kustomization / "kustomization.yaml").read_text())["namespace"]
    assert documents["Namespace"]["metadata"]["name"] == namespace
    assert documents["Namespace"]["metadata"]["labels"]["maas.opendatahub.io/gateway-routes"] == "allowed"
    for kind in ("InferenceService", "HTTPRoute", "Role", "RoleBinding", "NetworkPolicy", "ServingRuntime"):
        assert documents[kind]["metadata"]["namespace"] == namespace


def test_a_patch_says_who_may_call_it(kustomization: Path) -> None:
    (subject,) = by_kind(kustomization)["RoleBinding"]["subjects"]
    assert subject["name"] == "maas:tier:free"


def test_the_example_needs_no_more_than_a_model_and_a_kustomization() -> None:
    assert {path.name for path in (MANIFESTS / "models" / EXAMPLE).iterdir()} == {
        "kustomization.yaml",
        "model.yaml",
    }
