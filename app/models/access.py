"""Who may call a model: whoever RBAC allows a verb on its resource, as themselves or by their tier."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.identity.access_review import Access
from app.tiers.group import tier_group

if TYPE_CHECKING:
    from app.identity.access_review import AccessReviewer
    from app.models.catalogue import Catalogue, Model

_AT_ONCE = 16


class ModelAccess:
    """Decides about models and their callers by SubjectAccessReviews."""

    def __init__(self, catalogue: Catalogue, reviewer: AccessReviewer, *, verb: str) -> None:
        self._catalogue = catalogue
        self._reviewer = reviewer
        self._verb = verb

    def question(self, model: Model, *, owner: str, groups: tuple[str, ...], tier: str) -> Access:
        """What to ask: may `owner`, in their groups and as a holder of `tier`, call this model?"""
        return Access(
            username=owner,
            groups=(*groups, tier_group(tier)),
            verb=self._verb,
            group=model.resource.group,
            resource=model.resource.plural,
            namespace=model.namespace,
            name=model.name,
        )

    def remembered(self, question: Access) -> bool | None:
        """The answer if it is fresh in memory."""
        return self._reviewer.remembered(question)

    async def allowed(self, question: Access) -> bool:
        """The answer.

        Raises:
            KubeError: the API server could not be asked and there is no answer to remember.
        """
        return await self._reviewer.allowed(question)

    async def usable(self, *, owner: str, groups: tuple[str, ...], tier: str) -> list[tuple[str, Model]]:
        """The models that `owner` may call, with their ids, in the order of the ids.

        Raises:
            KubeError: the API server could not be asked about one of them.
        """
        models = list(self._catalogue.items())
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(model: Model) -> bool:
            async with gate:
                return await self.allowed(self.question(model, owner=owner, groups=groups, tier=tier))

        answers = await asyncio.gather(*(ask(model) for _, model in models))
        return [entry for entry, answer in zip(models, answers, strict=True) if answer]
