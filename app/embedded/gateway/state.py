"""What the local gateway keeps on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class StateDirectory:
    """A directory of the gateway's own, and the files in it.

    Attributes:
        path: The directory.
    """

    path: Path

    def create(self) -> None:
        """Make the directories that are missing; only their owner can look into them."""
        for directory in (self.path, self.watched):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def certificates(self) -> Path:
        """The directory of the certificates."""
        return self.path / "certificates"

    @property
    def watched(self) -> Path:
        """The directory whose files Envoy takes anew as soon as one is moved into it."""
        return self.path / "live"

    @property
    def routes(self) -> Path:
        """The routes, in the watched directory."""
        return self.watched / "routes.json"

    @property
    def limits(self) -> Path:
        """The rate limits, in the watched directory."""
        return self.watched / "limits.json"

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.path / "envoy.json"

    @property
    def access_log(self) -> Path:
        """One JSON line per request."""
        return self.path / "access.log"

    @property
    def envoy_log(self) -> Path:
        """What Envoy says about itself."""
        return self.path / "envoy.log"

    @property
    def admin_address(self) -> Path:
        """Where Envoy writes the address of its admin interface."""
        return self.path / "admin-address"
