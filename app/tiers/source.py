"""The tier mapping in force, kept by a reflector over its ConfigMap.

A mapping that cannot be read never replaces one that can: the last good one stays in force, and `error` says
what is wrong with the newer one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.kube.one_object import OneObject
from app.tiers.errors import MappingError
from app.tiers.parser import parse_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.kube.client import JsonObject
    from app.tiers.mapping import Tier, TierMapping

logger = logging.getLogger(__name__)


class NoMappingError(Exception):
    """There has not been one good mapping since the start, so nobody has a tier."""


class TierSource(OneObject):
    """Holds the mapping in force; a `Sink` for the reflector of its ConfigMap.

    Attributes:
        mapping: the mapping in force, or None before the first good one.
        error: why the ConfigMap's present content is not in force, or None when it is.
        generation: counts the mappings that have been in force.
        uid: of the ConfigMap that was seen last; empty if there was none yet.
    """

    def __init__(self) -> None:
        self.mapping: TierMapping | None = None
        self.error: str | None = "the ConfigMap was not read yet"
        self.generation = 0
        self.uid = ""
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever the mapping, or what is wrong with it, has changed."""
        self._subscribers.append(notify)

    def current(self) -> TierMapping:
        """The mapping in force.

        Raises:
            NoMappingError: there is none yet.
        """
        if self.mapping is None:
            raise NoMappingError(self.error)
        return self.mapping

    @property
    def names(self) -> frozenset[str]:
        """The tiers of the mapping in force; none while there is no mapping."""
        return frozenset(tier.name for tier in self.mapping.tiers) if self.mapping else frozenset()

    def tier_of(self, groups: Iterable[str]) -> Tier | None:
        """The tier that these groups give, by the mapping in force; None if they give none.

        Raises:
            NoMappingError: there is none yet.
        """
        return self.current().tier_of(groups)

    # Sink

    def put(self, item: JsonObject) -> None:
        """Put the ConfigMap's mapping in force, if it can be read."""
        self.uid = str(item.get("metadata", {}).get("uid") or "")
        try:
            mapping = parse_mapping(item.get("data") or {})
        except MappingError as error:
            self._reject(str(error))
            return
        if mapping == self.mapping and self.error is None:
            return
        self.mapping = mapping
        self.error = None
        self.generation += 1
        tiers = ", ".join(tier.name for tier in mapping.tiers)
        logger.info("tier mapping %d is in force: %s", self.generation, tiers)
        self._notify()

    def lose(self, why: str) -> None:
        """Note that there is no ConfigMap."""
        self._reject(f"the ConfigMap {why}")

    def _reject(self, error: str) -> None:
        if error == self.error:
            return
        self.error = error
        kept = "the last good one stays in force" if self.mapping else "nobody has a tier until it is mended"
        logger.error("tier mapping rejected, %s: %s", kept, error)
        self._notify()

    def _notify(self) -> None:
        for notify in self._subscribers:
            notify()
