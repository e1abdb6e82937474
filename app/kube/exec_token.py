"""Tokens that a kubeconfig gets from a program (`exec`), as those of managed clusters do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader

_LONG_AGO = datetime.fromtimestamp(0, UTC)
# A program that gives a token which is not accepted is not run for every request.
_RENEW_SECONDS = 10


class ExecToken:
    """Runs the program again before the token it gave expires, and when that is no longer accepted."""

    def __init__(self, loader: KubeConfigLoader, *, clock: Callable[[], float]) -> None:
        self._loader = loader
        self._clock = clock
        self._renewed_at = float("-inf")
        self._lock = asyncio.Lock()

    def is_fresh(self) -> bool:
        """Never known here: the library knows when its token expires, and does nothing well before that."""
        return False

    async def refresh(self, configuration: Configuration) -> None:
        """Put a token that has not expired into `configuration`; one that does not say when stands."""
        async with self._lock:
            if hasattr(self._loader, "exec_plugin_expiry"):
                await self._loader.load_from_exec_plugin()
        configuration.api_key["BearerToken"] = self._loader.token

    async def renew(self, configuration: Configuration) -> None:
        """Put another token into `configuration`, unless that was tried a moment ago."""
        async with self._lock:
            if self._clock() - self._renewed_at >= _RENEW_SECONDS:
                self._renewed_at = self._clock()
                self._loader.exec_plugin_expiry = _LONG_AGO
                await self._loader.load_from_exec_plugin()
                if self._loader.exec_plugin_expiry is _LONG_AGO:
                    del self._loader.exec_plugin_expiry
        configuration.api_key["BearerToken"] = self._loader.token
