"""Kubeconfig files (v1 Config) with one cluster and one user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def write_kubeconfig(path: Path, *, server: str, ca_file: Path, user: str, token: str) -> Path:
    """Write a kubeconfig that only its owner may read, and return its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "maas",
                "cluster": {"server": server, "certificate-authority": str(ca_file.absolute())},
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "maas", "context": {"cluster": "maas", "user": user, "namespace": "maas"}}],
        "current-context": "maas",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(document, file, sort_keys=False)
    return path
