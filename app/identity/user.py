"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A user as a TokenReview names them: nothing else in the service makes one."""

    username: str
    groups: tuple[str, ...]
