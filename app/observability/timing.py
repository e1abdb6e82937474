"""How long something takes, for a metric."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def timed(observe: Callable[[float], None]) -> Iterator[None]:
    """Tell `observe` how many seconds the body took, also when it raised."""
    started = time.monotonic()
    try:
        yield
    finally:
        observe(time.monotonic() - started)
