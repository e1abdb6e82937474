"""How long something takes, for a metric."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


class Timed:
    """A context that tells `observe` how many seconds its body took, also when it raised.

    A class, because `contextlib.contextmanager` takes four times as long, and every token waits for this.
    """

    __slots__ = ("_observe", "_started")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._started = 0.0

    def __enter__(self) -> None:
        """Begin."""
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """Tell."""
        self._observe(time.monotonic() - self._started)


def soon(observe: Callable[P, object]) -> Callable[P, None]:
    """What has `observe` told as soon as the loop has a moment: nobody waits for it.

    To be called in a running loop.
    """

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.get_running_loop().call_soon(partial(observe, *args, **kwargs))

    return tell
