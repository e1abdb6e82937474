"""Tokens that a kubeconfig gets from a program (`exec`), as those of managed clusters do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader


class ExecToken:
    """Runs the program again before the token it gave expires, as often as that needs and no oftener."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        self._loader = loader
        self._lock = asyncio.Lock()

    async def refresh(self, configuration: Configuration) -> None:
        """Put a token that has not expired into `configuration`."""
        async with self._lock:
            # It knows when the token expires, and does nothing well before that.
            await self._loader.load_from_exec_plugin()
        configuration.api_key["BearerToken"] = self._loader.token
