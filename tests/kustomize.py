"""The shipped manifests, rendered as `kubectl kustomize` renders them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "manifests"


@cache
def rendered(directory: Path) -> tuple[dict[str, Any], ...]:
    """The documents of a kustomization; they are shared, so nobody may change them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    result = subprocess.run(
        [kubectl, "kustomize", directory], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, "kustomize warns"
    return tuple(yaml.safe_load_all(result.stdout))


def with_component(overlay: str, component: str, directory: Path) -> Path:
    """An overlay with one more component, as a platform engineer writes it, in `directory`."""
    here = {
        "resources": [os.path.relpath(MANIFESTS / "overlays" / overlay, directory)],
        "components": [os.path.relpath(MANIFESTS / "components" / component, directory)],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(here))
    return directory


def yaml_blocks(page: Path) -> list[str]:
    """What a page of the documentation shows as YAML."""
    return re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)


def as_documented(page: Path, kustomization: str, directory: Path) -> Path:
    """A kustomization that `page` has people write beside a checkout, and the model that goes with it."""
    checkout = os.path.relpath(ROOT, directory)
    text = re.sub(r"(\.\./)?PrivateMaaS", checkout, kustomization)
    (directory / "kustomization.yaml").write_text(text)
    for block in yaml_blocks(page):
        if "kind: InferenceService" in block:
            (directory / "model.yaml").write_text(block)
    return directory
