"""Metrics are told what happened, many things at once, and nobody waits for that.

A metric's code and its series are far from what answers a request, and to fetch them into the processor's
caches takes longer than to run them (decision 14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.observability.registry import Registry

What = TypeVarTuple("What")

# Some hundred microseconds of telling, and little memory.
_MOST = 64


class Deferred:
    """What metrics are still to be told; they are when somebody reads them, or when it has become much.

    Args:
        registry: the metrics, which nobody reads before they are told.
    """

    def __init__(self, registry: Registry) -> None:
        self._waiting: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        registry.before_reading(self._tell)

    def __call__(self, observe: Callable[[*What], object]) -> Callable[[*What], None]:
        """What takes the same as `observe`, which is called with it later."""
        waiting = self._waiting

        def note(*what: *What) -> None:
            waiting.append((observe, what))
            if len(waiting) >= _MOST:
                self._tell()

        return note

    def _tell(self) -> None:
        told = self._waiting.copy()
        self._waiting.clear()
        for observe, what in told:
            observe(*what)
