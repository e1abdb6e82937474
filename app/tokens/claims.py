"""Takes over what a TokenReview says of a person's groups, where their tokens say something else.

Claims of an identity provider cannot be watched. They are seen whenever the person calls the API, and written
down then, for every token of theirs and every replica.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.kube.errors import KubeError
from app.tiers.source import NoMappingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.identity.user import User
    from app.kube.pace import Pace
    from app.tokens.corrector import Corrector
    from app.tokens.inventory import Inventory
    from app.tokens.standing import Standings

logger = logging.getLogger(__name__)

_MOST = 10_000
# Somebody else may write at the same time, the leader who relabels most likely; the watch then tells what.
_TRIES = 5


class Claims:
    """Notes what people who call are, and writes down what is new; every replica does."""

    def __init__(
        self,
        inventory: Inventory,
        standings: Standings,
        corrector: Corrector,
        *,
        wait_read: Callable[[], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self._inventory = inventory
        self._standings = standings
        self._corrector = corrector
        self._wait_read = wait_read
        self._pace = pace
        self._waiting: dict[str, User] = {}
        self._arrived = asyncio.Event()

    def note(self, user: User) -> None:
        """A TokenReview has just named `user`; one that is only remembered must not come here."""
        if user.username in self._waiting:
            # What still waits is older: it must not be written after this.
            self._waiting[user.username] = user
        elif len(self._waiting) < _MOST and self._is_news(user):
            self._waiting[user.username] = user
            self._arrived.set()

    async def run(self) -> None:
        """Write down what was noted until cancelled."""
        # By half of what there is, a Group of the cluster would be taken for a claim.
        await self._wait_read()
        while True:
            while self._waiting:
                await self._write(next(iter(self._waiting.values())))
            self._arrived.clear()
            await self._arrived.wait()

    def _is_news(self, user: User) -> bool:
        tokens = self._inventory.of_owner(user.username)
        if not tokens:
            return False
        try:
            groups = set(self._standings.of_user(user).groups)
        except NoMappingError:
            return False
        return any(set(self._standings.of(token).groups) != groups for token in tokens)

    async def _write(self, user: User) -> None:
        try:
            for known in self._inventory.of_owner(user.username):
                await self._write_one(known.uid, user.username)
        except KubeError as error:
            # Their next call tells it again.
            logger.warning("new groups of %s cannot be written down: %s", user.username, error)
        finally:
            # What was noted meanwhile may not be in what was written first; it has its turn after the others.
            latest = self._waiting.pop(user.username)
            if latest != user:
                self._waiting[user.username] = latest

    async def _write_one(self, uid: str, username: str) -> None:
        for _ in range(_TRIES):
            await self._pace.turn()
            token = self._inventory.by_uid(uid)
            standing = self._standings.of_user(self._waiting[username])
            if token is None or not self._corrector.differs(token, standing):
                return
            if await self._corrector.correct(token, standing):
                return
