"""What a user may do, as a SubjectAccessReview answers it (authorization.k8s.io/v1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from app.identity.review_cache import ReviewCache
from app.kube.resources import SUBJECT_ACCESS_REVIEWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kube.client import JsonObject, KubeClient

_REFUSAL_SECONDS = 3.0


class Access(NamedTuple):
    """One question: may this user, in these groups, do this to that object?"""

    username: str
    groups: tuple[str, ...]
    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


def _answer_seconds(allowed: bool) -> float:  # noqa: FBT001  # an answer is what it is given
    """A grant that was made a moment ago should not have to wait for a cached refusal."""
    return math.inf if allowed else _REFUSAL_SECONDS


class AccessReviewer:
    """Answers `Access` questions, from memory for a short while.

    While the API server is away the last answer stands for `staleness_seconds`.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        cache_seconds: float,
        cache_entries: int,
        staleness_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._staleness = staleness_seconds
        self._cache: ReviewCache[Access, bool] = ReviewCache(
            name="access", seconds=cache_seconds, entries=cache_entries, clock=clock
        )

    def remembered(self, access: Access) -> bool | None:
        """The answer if it is fresh in memory; this never asks, so a hot path can try it first."""
        return self._cache.fresh(access)

    async def allowed(self, access: Access) -> bool:
        """Whether it is allowed.

        Raises:
            KubeError: the API server could not be asked and there is no answer to remember.
        """
        return await self._cache.get_or_remember(
            access, lambda: self._ask(access), remember_seconds=self._staleness, seconds=_answer_seconds
        )

    async def allowed_now(self, access: Access) -> bool:
        """The same for what changes something: an answer that is no longer fresh does not stand.

        Raises:
            KubeError: the API server could not be asked.
        """
        return await self._cache.get(access, lambda: self._ask(access), seconds=_answer_seconds)

    async def close(self) -> None:
        """End the reviews that are on their way."""
        await self._cache.close()

    async def _ask(self, access: Access) -> bool:
        attributes = {
            "verb": access.verb,
            "group": access.group,
            "resource": access.resource,
            "namespace": access.namespace,
        }
        if access.name:
            attributes["name"] = access.name
        review: JsonObject = {
            "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": "SubjectAccessReview",
            "spec": {
                "user": access.username,
                "groups": list(access.groups),
                "resourceAttributes": attributes,
            },
        }
        status = (await self._client.review(SUBJECT_ACCESS_REVIEWS, review)).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True
