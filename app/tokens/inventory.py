"""Every MaaS token of the cluster, indexed in memory by a reflector over their ServiceAccounts.

A replica sees its own writes at once: what it just issued is put in by hand, and what it just revoked stays
out, whatever an older list or event still says. Resource versions order the two; they are comparable as
numbers (Kubernetes API concepts, "Resource versions"; stable since 1.35 and true of etcd before).
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from app.tokens.errors import RecordError
from app.tokens.record import MaasToken, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.kube.client import JsonObject

logger = logging.getLogger(__name__)

# How long a revoked uid is remembered. A uid never comes back, so this only bounds memory: it must outlast
# any event or list that was already on its way when the token was deleted.
_TOMBSTONE_SECONDS = 300


class Inventory:
    """The index; a `Sink` for the reflector of ServiceAccounts."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_uid: dict[str, MaasToken] = {}
        self._by_id: dict[str, MaasToken] = {}
        self._by_owner: dict[str, dict[str, MaasToken]] = {}
        self._revoked: dict[str, float] = {}
        self._unreadable: set[str] = set()

    def __len__(self) -> int:
        """How many tokens there are, expired ones that still have their ServiceAccount among them."""
        return len(self._by_uid)

    def by_uid(self, uid: str) -> MaasToken | None:
        """The token of the ServiceAccount with this uid."""
        return self._by_uid.get(uid)

    def by_id(self, token_id: str) -> MaasToken | None:
        """The token with this id."""
        return self._by_id.get(token_id)

    def of_owner(self, owner: str) -> list[MaasToken]:
        """All tokens of a user, oldest first."""
        tokens = self._by_owner.get(owner)
        return sorted(tokens.values(), key=lambda token: (token.created_at, token.id)) if tokens else []

    def all(self) -> list[MaasToken]:
        """All tokens, by id."""
        return sorted(self._by_id.values(), key=lambda token: token.id)

    def was_revoked(self, uid: str) -> bool:
        """Whether this replica itself revoked the token a short while ago."""
        return uid in self._revoked

    def revoke(self, token: MaasToken) -> None:
        """Take a token out for good, now."""
        now = self._clock()
        while self._revoked and next(iter(self._revoked.values())) < now - _TOMBSTONE_SECONDS:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[token.uid] = now
        self._drop(token.uid)

    # Sink

    def decode(self, obj: JsonObject) -> MaasToken | None:
        """The token of a ServiceAccount; one that cannot be read is reported once and left alone."""
        try:
            return read(obj)
        except RecordError as error:
            name = obj["metadata"]["name"]
            if name not in self._unreadable:
                self._unreadable.add(name)
                logger.warning("ServiceAccount %s is passed over: %s", name, error)
            return None

    def replace(self, items: Sequence[MaasToken], resource_version: int) -> None:
        """Make the index equal to a complete list."""
        listed = {token.uid for token in items}
        for uid, token in list(self._by_uid.items()):
            # What was created after the list was taken cannot be in it.
            if uid not in listed and token.resource_version <= resource_version:
                self._drop(uid)
        for token in items:
            self.put(token)

    def put(self, item: MaasToken) -> None:
        """Add or change a token, unless what is known of it is newer."""
        if item.uid in self._revoked:
            return
        known = self._by_uid.get(item.uid)
        if known is not None:
            if known.resource_version >= item.resource_version:
                return
            self._drop(item.uid)
        # The same ServiceAccount name with another uid: deleted and made again.
        elif (former := self._by_id.get(item.id)) is not None:
            if former.resource_version >= item.resource_version:
                return
            self._drop(former.uid)
        self._by_uid[item.uid] = item
        self._by_id[item.id] = item
        self._by_owner.setdefault(sys.intern(item.owner), {})[item.uid] = item

    def remove(self, obj: JsonObject) -> None:
        """Take out the token of a ServiceAccount that is gone."""
        self._unreadable.discard(obj["metadata"]["name"])
        self._drop(obj["metadata"]["uid"])

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
