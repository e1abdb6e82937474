"""Who is in which Group, where the cluster keeps them (OpenShift's ``user.openshift.io/v1`` Groups).

A TokenReview names the groups that a person had at that moment. Those that stand for a Group of the cluster
are watched here, so that whoever is added or removed is known without being asked again; all others came with
the identity provider's claims, and only the person's next call tells of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.tiers.group import TIER_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.kube.client import JsonObject

logger = logging.getLogger(__name__)

# A TokenReview may be some seconds old (ours are kept for ten, those of the API server for ten more): a Group
# that was deleted meanwhile must not come back as if it were a claim.
_REMEMBERED_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Group:
    """A Group and the names of its users."""

    name: str
    users: frozenset[str]


class Membership:
    """Groups by user; a `Sink` for the reflector of Groups.

    Attributes:
        served: whether the cluster has such Groups at all; without them all groups are claims.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._of_user: dict[str, frozenset[str]] = {}
        self._deleted: dict[str, float] = {}
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        self.served = False

    def subscribe(self, notify: Callable[[frozenset[str]], None]) -> None:
        """Call `notify` with the users whose groups have changed."""
        self._subscribers.append(notify)

    def known(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Those of `groups` that are names of Groups, or were until a moment ago."""
        return tuple(filter(self._knows(), groups))

    def groups_of(self, user: str) -> frozenset[str]:
        """The names of the Groups that `user` is in now."""
        return self._of_user.get(user, frozenset())

    def effective(self, user: str, groups: Iterable[str], *, known: Iterable[str] = ()) -> tuple[str, ...]:
        """The groups that `user` has now.

        Args:
            user: whose.
            groups: those that were seen at some time before.
            known: which of them were Groups of the cluster at that time; they may have been deleted since.
        """
        if not self.served:
            return tuple(groups)
        knows = self._knows()
        # In this order: to look into `known` takes the longer, the more groups somebody has.
        claims = [group for group in groups if not knows(group) and group not in known]
        return (*claims, *sorted(self.groups_of(user)))

    # Sink

    def decode(self, obj: JsonObject) -> Group | None:
        """The Group; `users` is null when it has none. A tier's group is nobody's to give."""
        if obj["metadata"]["name"].startswith(TIER_GROUPS):
            return None
        return Group(obj["metadata"]["name"], frozenset(obj.get("users") or ()))

    def replace(self, items: Sequence[Group], resource_version: int) -> None:
        """Make the index equal to a complete list; version 0 means that the cluster serves no Groups."""
        self.served = resource_version > 0
        former, self._groups = self._groups, {item.name: item for item in items}
        self._bury(former.keys() - self._groups.keys())
        users_before, self._of_user = self._of_user, {}
        for item in items:
            self._join(item.users, item.name)
        everybody = users_before.keys() | self._of_user.keys()
        self._notify({user for user in everybody if users_before.get(user) != self._of_user.get(user)})

    def put(self, item: Group) -> None:
        """Add or change a Group."""
        former = self._groups.get(item.name)
        self._groups[item.name] = item
        self._deleted.pop(item.name, None)
        before = former.users if former else frozenset()
        self._join(item.users - before, item.name)
        for user in before - item.users:
            self._leave(user, item.name)
        self._notify(item.users ^ before)

    def remove(self, obj: JsonObject) -> None:
        """Take out a Group that is gone; nobody is in it any more."""
        former = self._groups.pop(obj["metadata"]["name"], None)
        if former is None:
            return
        self._bury((former.name,))
        for user in former.users:
            self._leave(user, former.name)
        self._notify(former.users)

    def _knows(self) -> Callable[[str], bool]:
        """What tells whether a name is a Group's, or was until a moment ago; good until the next change.

        Hardly ever is a Group deleted, and every decision asks.
        """
        if not self._deleted:
            return self._groups.__contains__
        since = self._clock() - _REMEMBERED_SECONDS
        return lambda group: group in self._groups or self._deleted.get(group, since) > since

    def _join(self, users: Iterable[str], group: str) -> None:
        # Most are in one Group only, and share this set.
        only = frozenset((group,))
        for user in users:
            former = self._of_user.get(user)
            self._of_user[user] = former | only if former else only

    def _leave(self, user: str, group: str) -> None:
        if remaining := self.groups_of(user) - {group}:
            self._of_user[user] = remaining
        else:
            self._of_user.pop(user, None)

    def _bury(self, names: Iterable[str]) -> None:
        now = self._clock()
        self._deleted = {name: at for name, at in self._deleted.items() if at > now - _REMEMBERED_SECONDS}
        self._deleted.update(dict.fromkeys(names, now))

    def _notify(self, users: Iterable[str]) -> None:
        if changed := frozenset(users):
            for notify in self._subscribers:
                notify(changed)
