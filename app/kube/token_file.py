"""A token in a file that somebody replaces now and then, as the kubelet does for every pod."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kubernetes_asyncio.client import Configuration

logger = logging.getLogger(__name__)

# The kubelet replaces the file when a fifth of the token's life is left, which is minutes at the least.
_READ_SECONDS = 60


class TokenFile:
    """Reads the file again every minute, and at once when the token is no longer accepted."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._read_at = float("-inf")

    def is_fresh(self) -> bool:
        """Whether it was read within the last minute."""
        return self._clock() - self._read_at < _READ_SECONDS

    async def refresh(self, configuration: Configuration) -> None:
        """Put the token into `configuration` if it was not read for a minute.

        While the file cannot be read, the token that was read before stands.
        """
        if self.is_fresh():
            return
        try:
            await self.renew(configuration)
        except (OSError, ValueError) as error:
            if "BearerToken" not in configuration.api_key:
                raise
            logger.warning("the token's file cannot be read, the token of before stands: %s", error)

    async def renew(self, configuration: Configuration) -> None:
        """Put the token into `configuration` that is in the file now.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is empty, or no text.
        """
        self._read_at = self._clock()
        token = (await asyncio.to_thread(self._path.read_text)).strip()
        if not token:
            raise ValueError("it is empty")
        configuration.api_key["BearerToken"] = f"Bearer {token}"
