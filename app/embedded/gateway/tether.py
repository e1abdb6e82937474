"""Runs a program that cannot outlive its parent: `tether.py PARENT-PID PROGRAM [ARGUMENT ...]`.

The kernel ends the program when the parent does, even when the parent was killed and could not do
it itself (Linux: `prctl(PR_SET_PDEATHSIG)`; macOS has nothing like it). A process asks for this
itself, after it was made. Doing so in `preexec_fn` runs Python between fork and exec, where another
thread may have held a lock; this script has a process to itself, asks, and becomes the program.
It is started by path and imports nothing but a few modules of the standard library, to be quick.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, where the kernel can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(
    arguments: Sequence[str],
    *,
    parent: Callable[[], int] = os.getppid,
    execute: Callable[[str, list[str]], object] = os.execv,
) -> None:
    """Become the program that `arguments` name.

    Raises:
        SystemExit: The parent ended before it could be watched.
    """
    expected, *command = arguments
    die_with_parent()
    if parent() != int(expected):
        raise SystemExit("the parent process has ended")
    execute(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
