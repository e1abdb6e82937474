"""How long decisions may go on from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.kube.errors import KubeUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.kube.reflector import Reflector


class Freshness:
    """Knows whether what reflectors hold is recent enough to decide by."""

    def __init__(self, reflectors: Iterable[Reflector[Any]], *, staleness_seconds: float) -> None:
        self.reflectors = tuple(reflectors)
        self.staleness_seconds = staleness_seconds

    @property
    def synced(self) -> bool:
        """Whether every first list is complete."""
        return all(reflector.synced for reflector in self.reflectors)

    async def wait_synced(self) -> None:
        """Return as soon as every first list is complete."""
        for reflector in self.reflectors:
            await reflector.wait_synced()

    @property
    def connected(self) -> bool:
        """Whether all of them are in contact with the API server."""
        return all(reflector.connected for reflector in self.reflectors)

    def age(self) -> float:
        """Seconds since the oldest of them was last known to be current; infinite before the first."""
        return max(reflector.age() for reflector in self.reflectors)

    def check(self) -> None:
        """Return if decisions may be made.

        Raises:
            KubeUnavailableError: the first lists are not complete, or the API server is away for too long.
        """
        for reflector in self.reflectors:
            if reflector.age() > self.staleness_seconds:
                raise KubeUnavailableError(f"what is known of {reflector.name} is too old to decide by")
