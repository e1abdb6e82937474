"""One platform per state directory."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DirectoryTakenError(Exception):
    """Another platform runs in this state directory."""


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Keep every other platform out of `directory` for as long as the context lasts.

    It is made if it is missing. The kernel frees it when this process ends, however it ends (flock(2)).

    Raises:
        DirectoryTakenError: another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryTakenError(f"another platform runs with its files in {directory}") from None
        yield
