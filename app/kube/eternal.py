"""Running what must not end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.kube.backoff import Backoff

logger = logging.getLogger(__name__)

# What ran for this long before it failed is not failing at its start.
_HEALTHY_SECONDS = 60


async def eternally(
    name: str,
    start: Callable[[], Coroutine[Any, Any, None]],
    *,
    backoff: Backoff,
    clock: Callable[[], float],
) -> NoReturn:
    """Run `start()` until cancelled: whenever it fails or ends, that is logged, and it is started again.

    Args:
        name: what it is, for the log.
        start: makes the coroutine.
        backoff: how long to wait before each new start.
        clock: monotonic seconds.
    """
    while True:
        started = clock()
        try:
            await start()
        except Exception:
            logger.exception("%s failed and will be started again", name)
        else:
            logger.error("%s ended, which it should not, and will be started again", name)
        if clock() - started >= _HEALTHY_SECONDS:
            backoff.reset()
        await asyncio.sleep(backoff.next_seconds())
