"""The exit code of a command that a signal has ended."""

from __future__ import annotations

import signal


def exit_code(name: str) -> int:
    """What a shell gives for the signal of that name: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + signal.Signals[name].value
