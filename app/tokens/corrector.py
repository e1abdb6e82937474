"""Makes the ServiceAccount of a token say what its owner is now.

Decisions do not wait for it: they are made from how the owner stands. This is for the people and the policies
that read labels, and for a replica that starts later.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.kube.errors import KubeConflictError, KubeNotFoundError
from app.kube.resources import SERVICE_ACCOUNTS
from app.observability import audit
from app.tokens.errors import RecordError
from app.tokens.record import SUSPENDED_LABEL, TIER_LABEL, groups_annotations, read

if TYPE_CHECKING:
    from app.kube.client import JsonObject, KubeClient
    from app.tokens.inventory import Inventory
    from app.tokens.record import MaasToken
    from app.tokens.standing import Standing, Standings


class Corrector:
    """Writes tier, suspension and groups where they differ."""

    def __init__(
        self, client: KubeClient, inventory: Inventory, standings: Standings, *, namespace: str
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._standings = standings
        self._namespace = namespace

    def differs(self, token: MaasToken, standing: Standing) -> bool:
        """Whether the ServiceAccount says something else of its owner than `standing` does."""
        return (
            token.suspended != (standing.tier is None)
            or (standing.tier is not None and standing.tier.name != token.tier)
            or self._other_groups(token, standing)
        )

    async def correct(self, token: MaasToken, standing: Standing) -> bool:
        """Write what differs; whether that was done.

        A token that is gone, or that was changed meanwhile, is left alone: the watch tells what it is now.

        Raises:
            KubeError: the API server refused, or is away.
        """
        tier = standing.tier
        # Whoever is suspended keeps the label of their last tier: it tells people what they had.
        labels: dict[str, str | None] = {SUSPENDED_LABEL: "true" if tier is None else None}
        if tier is not None:
            labels[TIER_LABEL] = tier.name
        metadata: JsonObject = {
            "uid": token.uid,
            "resourceVersion": str(token.resource_version),
            "labels": labels,
        }
        if self._other_groups(token, standing):
            known = self._standings.cluster_groups(standing.groups)
            metadata["annotations"] = groups_annotations(standing.groups, known or ())
        try:
            changed = await self._client.merge_patch(
                SERVICE_ACCOUNTS, token.id, {"metadata": metadata}, namespace=self._namespace
            )
        except (KubeNotFoundError, KubeConflictError):
            return False
        with suppress(RecordError):
            self._inventory.learn(read(changed))
        before = _described(token.tier, token.groups, suspended=token.suspended)
        after = _described(tier.name if tier else token.tier, standing.groups, suspended=tier is None)
        audit.changed(token_id=token.id, owner=token.owner, before=before, after=after)
        return True

    def _other_groups(self, token: MaasToken, standing: Standing) -> bool:
        if set(token.groups) != set(standing.groups):
            return True
        known = self._standings.cluster_groups(standing.groups)
        return known is not None and set(token.cluster_groups) != set(known)


def _described(tier: str, groups: tuple[str, ...], *, suspended: bool) -> dict[str, Any]:
    return {"tier": tier, "suspended": suspended, "groups": list(groups)}
