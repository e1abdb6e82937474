"""What a reflector over one single object, chosen by its name, puts that object into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.kube.client import JsonObject


class OneObject(ABC):
    """A `Sink` for the reflector of an object that is there, or is not."""

    @abstractmethod
    def put(self, item: JsonObject) -> None:
        """It is there, and this is its state."""

    @abstractmethod
    def lose(self, why: str) -> None:
        """It is not there: it ``does not exist`` or ``was deleted``."""

    def decode(self, obj: JsonObject) -> JsonObject:
        """The object itself."""
        return obj

    def replace(self, items: Sequence[JsonObject], resource_version: int) -> None:  # noqa: ARG002  # a Sink's signature
        """Take the one that there is, or note that there is none."""
        if items:
            self.put(items[0])
        else:
            self.lose("does not exist")

    def remove(self, obj: JsonObject) -> None:  # noqa: ARG002  # a Sink's signature
        """Note that it was deleted."""
        self.lose("was deleted")
