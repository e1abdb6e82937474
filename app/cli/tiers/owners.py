"""The people who hold MaaS tokens now, as the ServiceAccounts say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.cli.kubectl import ForbiddenError, UnknownKindError, items
from app.tokens.errors import RecordError
from app.tokens.record import SELECTOR, MaasToken, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.cli.kubectl import Kubectl
    from app.tiers.mapping import TierMapping


@dataclass(frozen=True)
class Owner:
    """Someone with MaaS tokens.

    Attributes:
        name: the user.
        groups: their groups, as the newest token has them.
        tokens: how many they hold.
    """

    name: str
    groups: tuple[str, ...]
    tokens: int


@dataclass(frozen=True)
class Move:
    """What another mapping means for an owner; None stands for no tier."""

    owner: Owner
    before: str | None
    after: str | None


async def owners(kubectl: Kubectl, namespace: str) -> list[Owner]:
    """All owners, by name.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    listed = await kubectl.json(
        "get", "serviceaccounts", f"--namespace={namespace}", f"--selector={SELECTOR}"
    )
    tokens = [token for token in map(_token, items(listed)) if token is not None]
    counts = Counter(token.owner for token in tokens)
    newest = {token.owner: token for token in sorted(tokens, key=lambda token: token.created_at)}
    return [Owner(name, newest[name].groups, counts[name]) for name in sorted(newest)]


async def memberships(kubectl: Kubectl, user: str) -> list[str]:
    """The OpenShift Groups that a user is in; none where there are no such groups, or they may not be seen.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    try:
        listed = await kubectl.json("get", "groups.user.openshift.io")
    except (UnknownKindError, ForbiddenError):
        return []
    return sorted(group["metadata"]["name"] for group in items(listed) if user in (group.get("users") or ()))


def moves(found: Iterable[Owner], before: TierMapping | None, after: TierMapping) -> list[Move]:
    """Whom another mapping gives another tier."""
    changed = []
    for owner in found:
        old, new = _tier_name(before, owner), _tier_name(after, owner)
        if old != new:
            changed.append(Move(owner, old, new))
    return changed


def _tier_name(mapping: TierMapping | None, owner: Owner) -> str | None:
    tier = mapping.tier_of(owner.groups) if mapping else None
    return tier.name if tier else None


def _token(account: dict[str, Any]) -> MaasToken | None:
    try:
        return read(account)
    except RecordError:
        return None
