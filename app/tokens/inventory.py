"""Every MaaS token of the cluster, indexed in memory by a reflector over their ServiceAccounts.

A replica sees its own writes at once: what it just issued is put in by hand, and what it just revoked stays
out, whatever an older list or event still says. What the watch has seen go does not come back either, by the
answer to a request that it has overtaken. Resource versions order them all; they are comparable as numbers
(Kubernetes API concepts, "Resource versions"; stable since 1.35 and true of etcd before).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.tokens.chronicle import Chronicle, age
from app.tokens.errors import RecordError
from app.tokens.record import MaasToken, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.kube.client import JsonObject
    from app.tokens.chronicle import Key

logger = logging.getLogger(__name__)

# How long a uid that is gone is remembered. This only bounds memory: it must outlast any event, list or
# answer that was already on its way when the token was deleted.
_TOMBSTONE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class _Tombstone:
    """Nothing up to `version` is believed of this uid; infinite if this replica itself revoked the token."""

    version: float
    at: float


class Inventory:
    """The index; a `Sink` for the reflector of ServiceAccounts."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_uid: dict[str, MaasToken] = {}
        self._by_id: dict[str, MaasToken] = {}
        self._by_owner: dict[str, dict[str, MaasToken]] = {}
        self._by_age = Chronicle(self._by_uid.values)
        self._tiers: Counter[str] = Counter()
        self._tombstones: dict[str, _Tombstone] = {}
        self._unreadable: dict[str, str] = {}
        self._listed_version = 0
        self._subscribers: list[Callable[[MaasToken | None], None]] = []

    def subscribe(self, notify: Callable[[MaasToken | None], None]) -> None:
        """Call `notify` with every token that was added or changed; with None if that may be all of them."""
        self._subscribers.append(notify)

    def __len__(self) -> int:
        """How many tokens there are, expired ones that still have their ServiceAccount among them."""
        return len(self._by_uid)

    def __iter__(self) -> Iterator[MaasToken]:
        """All tokens there are at this moment, in no order: it is a copy."""
        return iter(list(self._by_uid.values()))

    @property
    def unreadable(self) -> int:
        """How many ServiceAccounts look like tokens and cannot be read."""
        return len(self._unreadable)

    @property
    def tiers(self) -> dict[str, int]:
        """How many tokens have which tier in their label."""
        return dict(self._tiers)

    def owners(self) -> list[str]:
        """Everyone who has a token."""
        return list(self._by_owner)

    def by_uid(self, uid: str) -> MaasToken | None:
        """The token of the ServiceAccount with this uid."""
        return self._by_uid.get(uid)

    def by_id(self, token_id: str) -> MaasToken | None:
        """The token with this id."""
        return self._by_id.get(token_id)

    def of_owner(self, owner: str) -> list[MaasToken]:
        """All tokens of a user, oldest first."""
        return sorted(self._by_owner.get(owner, {}).values(), key=age)

    def as_it_is(self, obj: JsonObject) -> MaasToken | None:
        """The token of a ServiceAccount, if that is known in this very version."""
        metadata = obj["metadata"]
        known = self._by_uid.get(metadata["uid"])
        same = known is not None and str(known.resource_version) == metadata["resourceVersion"]
        return known if same else None

    def after(self, key: Key | None) -> Iterator[MaasToken]:
        """Those younger than `key` (`chronicle.age`), or all, oldest first; take what is needed at once."""
        return self._by_age.after(key)

    def was_revoked(self, uid: str) -> bool:
        """Whether this replica itself revoked the token a short while ago."""
        tombstone = self._tombstones.get(uid)
        return tombstone is not None and tombstone.version == math.inf

    def revoke(self, token: MaasToken) -> None:
        """Take a token out for good, now."""
        self._bury(token.uid, math.inf)

    def learn(self, token: MaasToken) -> None:
        """Put what the answer to a request of our own shows, unless a complete list has overtaken it.

        What that list did not show was deleted before the list was taken, perhaps while no watch could tell.
        """
        if token.uid in self._by_uid or token.resource_version > self._listed_version:
            self.put(token)

    # Sink

    def decode(self, obj: JsonObject) -> MaasToken | None:
        """The token of a ServiceAccount; one that cannot be read is reported once and left alone."""
        # In a list that is made again nearly everything is as it was.
        if (known := self.as_it_is(obj)) is not None:
            return known
        name, version = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
        try:
            token = read(obj)
        except RecordError as error:
            if name not in self._unreadable:
                logger.warning("ServiceAccount %s is passed over: %s", name, error)
            self._unreadable[name] = version
            return None
        self._unreadable.pop(name, None)
        return token

    def replace(self, items: Sequence[MaasToken], resource_version: int) -> None:
        """Make the index equal to a complete list."""
        for token in items:
            self._put(token)
        self.retain({token.uid for token in items}, resource_version)

    def retain(self, uids: set[str], resource_version: int) -> None:
        """Keep what a complete list has shown, each of which was put before, and nothing else."""
        self._by_age.forget()
        self._listed_version = resource_version
        # In one step, so it has to be a short one: there may be a hundred thousand.
        for uid in self._by_uid.keys() - uids:
            # What was created after the list was taken cannot be in it.
            if self._by_uid[uid].resource_version <= resource_version:
                self._drop(uid)
        for notify in self._subscribers:
            notify(None)

    def put(self, item: MaasToken) -> None:
        """Add or change a token, unless what is known of it is newer."""
        if self._put(item):
            for notify in self._subscribers:
                notify(item)

    def _put(self, item: MaasToken) -> bool:
        tombstone = self._tombstones.get(item.uid)
        if tombstone is not None and item.resource_version <= tombstone.version:
            return False
        known = self._by_uid.get(item.uid)
        if known is not None:
            if known.resource_version >= item.resource_version:
                return False
            self._drop(item.uid)
        # The same ServiceAccount name with another uid: deleted and made again.
        elif (former := self._by_id.get(item.id)) is not None:
            if former.resource_version >= item.resource_version:
                return False
            self._drop(former.uid)
        self._by_uid[item.uid] = item
        self._by_id[item.id] = item
        self._by_owner.setdefault(item.owner, {})[item.uid] = item
        self._by_age.add(item)
        self._tiers[item.tier] += 1
        return True

    def remove(self, obj: JsonObject) -> None:
        """Take out the token of a ServiceAccount that is gone."""
        metadata = obj["metadata"]
        # What became unreadable is taken out too, by the very version that cannot be read.
        if self._unreadable.get(metadata["name"]) != metadata["resourceVersion"]:
            self._unreadable.pop(metadata["name"], None)
        self._bury(metadata["uid"], int(metadata["resourceVersion"]))

    def _bury(self, uid: str, version: float) -> None:
        now = self._clock()
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            if self._tombstones[oldest].at >= now - _TOMBSTONE_SECONDS:
                break
            del self._tombstones[oldest]
        former = self._tombstones.pop(uid, None)
        self._tombstones[uid] = _Tombstone(max(version, former.version) if former else version, now)
        self._drop(uid)

    def _drop(self, uid: str) -> None:
        token = self._by_uid.pop(uid, None)
        if token is None:
            return
        if self._by_id.get(token.id) is token:
            del self._by_id[token.id]
        tokens = self._by_owner[token.owner]
        del tokens[uid]
        if not tokens:
            del self._by_owner[token.owner]
        self._by_age.remove(token)
        self._tiers[token.tier] -= 1
        if not self._tiers[token.tier]:
            del self._tiers[token.tier]
