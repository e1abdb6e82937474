from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.control_plane.certificates import KeyPair


def token_credentials(token: str) -> dict[str, Any]:
    return {"token": token}


def certificate_credentials(pair: KeyPair) -> dict[str, Any]:
    return {"client-certificate": str(pair.chain), "client-key": str(pair.key)}


def write_kubeconfig(path: Path, *, server: str, ca: Path, user: dict[str, Any]) -> Path:
    """Write a kubeconfig (`v1.Config`) for one cluster and one user, and return its path.

    It is written as JSON, which is YAML too; `user` holds the credentials, none for an anonymous user.
    """
    name = path.stem
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    path.chmod(0o600)
    return path
