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
        self, inventory: Inventory, standings: Standings, corrector: Corrector, *, pace: Pace
    ) -> None:
        self._inventory = inventory
        self._standings = standings
        self._corrector = corrector
        self._pace = pace
        self._waiting: dict[str, User] = {}
        self._arrived = asyncio.Event()

    def note(self, user: User) -> None:
        """`user` has just been named by a TokenReview."""
        try:
            groups = set(self._standings.of_user(user).groups)
        except NoMappingError:
            return
        tokens = self._inventory.of_owner(user.username)
        if len(self._waiting) < _MOST and any(
            set(self._standings.of(token).groups) != groups for token in tokens
        ):
            self._waiting[user.username] = user
            self._arrived.set()

    async def run(self) -> None:
        """Write down what was noted until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                user = self._waiting.pop(next(iter(self._waiting)))
                try:
                    await self._write(user)
                except KubeError as error:
                    # Their next call tells it again.
                    logger.warning("new groups of %s cannot be written down: %s", user.username, error)

    async def _write(self, user: User) -> None:
        for known in self._inventory.of_owner(user.username):
            for _ in range(_TRIES):
                await self._pace.turn()
                token = self._inventory.by_uid(known.uid)
                standing = self._standings.of_user(user)
                if token is None or not self._corrector.differs(token, standing):
                    break
                if await self._corrector.correct(token, standing):
                    break
