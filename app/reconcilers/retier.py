"""Live tokens follow the mapping and the cluster's Groups."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from app.kube.errors import KubeError
from app.reconcilers.runs import RunObserver, counted
from app.tiers.source import NoMappingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.kube.backoff import Backoff
    from app.kube.events import EventRecorder
    from app.kube.pace import Pace
    from app.tiers.membership import Membership
    from app.tiers.source import TierSource
    from app.tokens.corrector import Corrector
    from app.tokens.inventory import Inventory
    from app.tokens.record import MaasToken
    from app.tokens.standing import Standings

logger = logging.getLogger(__name__)

# Tokens looked at before others have their turn: less than half a millisecond.
_AT_A_TIME = 100
_SURVEY_SECONDS = 300


class RetierObserver(RunObserver, Protocol):
    """Is told how far it is, for metrics."""

    def observe_pending(self, tokens: int) -> None:
        """So many tokens are still to be written."""

    def observe_owners(self, *, active: int, suspended: int) -> None:
        """So many people who hold tokens have a tier, and so many have none."""


class Retier:
    """Relabels tokens whose owners have another tier, and marks those of owners who have none."""

    name = "retier"

    def __init__(
        self,
        inventory: Inventory,
        tiers: TierSource,
        membership: Membership,
        standings: Standings,
        corrector: Corrector,
        *,
        wait_read: Callable[[], Awaitable[None]],
        pace: Pace,
        backoff: Backoff,
        observe: RetierObserver,
        events: EventRecorder,
    ) -> None:
        self._inventory = inventory
        self._tiers = tiers
        self._standings = standings
        self._corrector = corrector
        self._wait_read = wait_read
        self._pace = pace
        self._backoff = backoff
        self._observe = observe
        self._events = events
        self._running = False
        self._survey_due = False
        self._alarmed = False
        self._pending: dict[str, None] = {}
        self._changed = asyncio.Event()
        tiers.subscribe(self._note_all)
        membership.subscribe(self._note_users)
        inventory.subscribe(self._note)

    async def run(self) -> None:
        """Write what differs, at the pace that was given, until cancelled."""
        # By half of what there is, people would be taken for somebody they are not.
        await self._wait_read()
        self._running = True
        try:
            self._note_all()
            while True:
                try:
                    async with asyncio.timeout(_SURVEY_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    self._survey_due = True
                self._changed.clear()
                try:
                    with counted(self.name, self._observe):
                        if self._survey_due:
                            await self._survey()
                        await self._correct()
                except KubeError as error:
                    # As long as something cannot be written, each try is a run: an endless one tells nothing.
                    logger.warning("retier: %s; %d tokens remain", error, len(self._pending))
                    self._changed.set()
                    await asyncio.sleep(self._backoff.next_seconds())
        finally:
            self._running = False
            self._pending.clear()
            self._observe.observe_pending(0)

    def _note_all(self) -> None:
        self._survey_due = True
        self._changed.set()

    def _note_users(self, users: frozenset[str]) -> None:
        if len(users) > _AT_A_TIME:
            self._note_all()
            return
        for user in users if self._running else ():
            for token in self._inventory.of_owner(user):
                self._note(token)

    def _note(self, token: MaasToken | None) -> None:
        """Put a token on the list if it is to be written; None stands for all of them."""
        if token is None:
            self._note_all()
        elif self._running and self._wrong(token):
            self._pending[token.uid] = None
            self._changed.set()

    def _wrong(self, token: MaasToken) -> bool:
        try:
            return self._corrector.differs(token, self._standings.of(token))
        except NoMappingError:
            return False

    async def _survey(self) -> None:
        """Look at every token, some at a time, and at how many people are left without a tier."""
        self._survey_due = False
        active = suspended = looked = 0
        for owner in self._inventory.owners():
            if looked >= _AT_A_TIME:
                looked = 0
                await asyncio.sleep(0)
            tokens = self._inventory.of_owner(owner)
            looked += len(tokens)
            for token in tokens:
                if self._wrong(token):
                    self._pending[token.uid] = None
            if tokens and self._has_tier(tokens[-1]):
                active += 1
            elif tokens:
                suspended += 1
        self._observe.observe_owners(active=active, suspended=suspended)
        await self._raise_alarm(active, suspended)

    def _has_tier(self, token: MaasToken) -> bool:
        try:
            return self._standings.of(token).tier is not None
        except NoMappingError:
            return False

    async def _raise_alarm(self, active: int, suspended: int) -> None:
        if suspended <= active or self._tiers.mapping is None:
            self._alarmed = False
        elif not self._alarmed:
            self._alarmed = True
            message = (
                f"{suspended} of {active + suspended} people who hold tokens have no tier by this mapping "
                "and are refused; their tokens stay, and work again as soon as a group of theirs is mapped"
            )
            logger.error("mass suspension: %s", message)
            await self._events.warning("MassSuspension", message)

    async def _correct(self) -> None:
        """Write what is on the list, or up to what cannot be written, which is the last of it then.

        Raises:
            KubeError: something could not be written.
        """
        # A new mapping makes another list.
        while self._pending and not self._survey_due:
            self._observe.observe_pending(len(self._pending))
            await self._pace.turn()
            uid = next(iter(self._pending), None)
            if uid is None:
                break
            token = self._inventory.by_uid(uid)
            # Off the list first: what changes while it is written puts it there again.
            del self._pending[uid]
            try:
                if token is not None and self._wrong(token):
                    await self._corrector.correct(token, self._standings.of(token))
            except KubeError:
                # The others need not wait for it.
                self._pending[uid] = None
                raise
            self._backoff.reset()
        self._observe.observe_pending(len(self._pending))
