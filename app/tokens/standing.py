"""What the holder of a token is now: in which groups, and in which tier.

A ServiceAccount says what its owner was when somebody last wrote it. Decisions are made from this instead, so
that they follow the mapping and the cluster's Groups at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.tiers.group import TIER_GROUPS

if TYPE_CHECKING:
    from app.identity.user import User
    from app.tiers.mapping import Tier
    from app.tiers.membership import Membership
    from app.tiers.source import TierSource
    from app.tokens.record import MaasToken


class Standing(NamedTuple):
    """Groups and tier of a person; without a tier they are refused everything."""

    groups: tuple[str, ...]
    tier: Tier | None


class Standings:
    """Tells how people stand by the mapping in force and the Groups of the cluster.

    Its methods raise `NoMappingError` while there has not been one good mapping.
    """

    def __init__(self, tiers: TierSource, membership: Membership) -> None:
        self._tiers = tiers
        self._membership = membership

    def of(self, token: MaasToken) -> Standing:
        """How the owner of `token` stands. This is on the hot path."""
        groups = self._membership.effective(token.owner, token.groups, known=token.cluster_groups)
        return Standing(groups, self._tiers.tier_of(groups))

    def of_user(self, user: User) -> Standing:
        """How somebody stands whom a TokenReview of the last seconds has named."""
        # As in a token's record: only a tier gives a tier's group.
        claims = [group for group in user.groups if not group.startswith(TIER_GROUPS)]
        groups = self._membership.effective(user.username, claims)
        return Standing(groups, self._tiers.tier_of(groups))

    def cluster_groups(self, groups: tuple[str, ...]) -> tuple[str, ...] | None:
        """Which of `groups` are Groups of the cluster, for a token's record; None if it serves no Groups."""
        if not self._membership.served:
            return None
        return self._membership.known(groups)
