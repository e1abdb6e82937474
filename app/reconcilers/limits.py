"""Keeps the policies by which the gateway limits equal to the tier mapping.

Only the policies that the manifests ship are looked at, by their names; none is ever created. Which of them
are followed is a matter of rights: a profile of the manifests brings the Role for its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from app.reconcilers.policy_keeper import PolicyKeeper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.limits.policy import Policy
    from app.reconcilers.policy_keeper import Keeping
    from app.tiers.source import TierSource


class LimitsReconciler:
    """A `PolicyKeeper` for each policy."""

    name: Final = "limits"

    def __init__(self, policies: Sequence[Policy], tiers: TierSource, keeping: Keeping) -> None:
        """Make a reconciler.

        Args:
            policies: the policies to follow the mapping, where they exist.
            tiers: the mapping in force.
            keeping: how.
        """
        self._keepers = [PolicyKeeper(policy, tiers, keeping) for policy in policies]

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            for keeper in self._keepers:
                group.create_task(keeper.run(), name=f"limits of {keeper.title}")
