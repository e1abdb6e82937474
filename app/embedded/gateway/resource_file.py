"""Configuration that Envoy takes while it runs: files that it watches."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ResourceFile:
    """A file with one resource that Envoy watches (a DiscoveryResponse in JSON).

    Envoy acts on renames only, so it never reads half a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, resource: Mapping[str, Any]) -> bool:
        """Put `resource` in force; return False when it is already, and nothing was written."""
        body = json.dumps(resource, sort_keys=True)
        version = hashlib.sha256(body.encode()).hexdigest()[:16]
        content = json.dumps({"version_info": version, "resources": [resource]}, sort_keys=True).encode()
        if self._path.is_file() and self._path.read_bytes() == content:
            return False
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        fresh.replace(self._path)
        return True
