"""What a reconciler did each time it had something to do, for metrics."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class RunObserver(Protocol):
    """Is told of every run."""

    def observe_run(self, reconciler: str, result: str, seconds: float) -> None:
        """`reconciler` took `seconds`; `result` is ``done`` or ``failed``."""


class Run:
    """One run, which is done unless something is said or raised."""

    result = "done"

    def fail(self) -> None:
        """Something is left that has to be tried again."""
        self.result = "failed"


@contextmanager
def counted(reconciler: str, observe: RunObserver) -> Iterator[Run]:
    """Count one run; one that was cancelled is none."""
    run, started = Run(), time.monotonic()
    try:
        yield run
    except Exception:
        observe.observe_run(reconciler, "failed", time.monotonic() - started)
        raise
    observe.observe_run(reconciler, run.result, time.monotonic() - started)
