"""Tells at the ConfigMap what became of its mapping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.kube.events import EventRecorder
    from app.tiers.source import TierSource


class MappingEvents:
    """A reconciler that writes an Event when a mapping is rejected, and when another one is in force.

    What a new leader finds in force is no news; what it finds rejected is told, and counts as once more.
    """

    name = "mapping events"

    def __init__(
        self, tiers: TierSource, events: EventRecorder, *, wait_read: Callable[[], Awaitable[None]]
    ) -> None:
        """Make it.

        Args:
            tiers: the mapping.
            events: where to tell.
            wait_read: returns when the ConfigMap was looked for.
        """
        self._tiers = tiers
        self._events = events
        self._wait_read = wait_read
        self._changed = asyncio.Event()
        tiers.subscribe(self._changed.set)

    async def run(self) -> None:
        """Tell of every change, until cancelled."""
        await self._wait_read()
        generation = self._tiers.generation
        before: str | None = None
        while True:
            self._changed.clear()
            error = self._tiers.error
            if error is not None:
                if error != before:
                    await self._events.warning("MappingRejected", f"{self._kept()}: {error}")
            elif before is not None or self._tiers.generation != generation:
                tiers = ", ".join(tier.name for tier in self._tiers.current().tiers)
                await self._events.normal("MappingInForce", f"The tier mapping is in force: {tiers}.")
            generation, before = self._tiers.generation, error
            await self._changed.wait()

    def _kept(self) -> str:
        if self._tiers.mapping is not None:
            return "The mapping was rejected, and the last good one stays in force"
        return "The mapping was rejected, and nobody has a tier until it is mended"
