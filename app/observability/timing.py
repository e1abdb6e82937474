"""Metrics are told what happened, and nobody waits for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

What = TypeVarTuple("What")


def soon(observe: Callable[[*What], object]) -> Callable[[*What], None]:
    """What has `observe` told as soon as the loop has a moment.

    To be called in a running loop.
    """

    def tell(*what: *What) -> None:
        asyncio.get_running_loop().call_soon(observe, *what)

    return tell
