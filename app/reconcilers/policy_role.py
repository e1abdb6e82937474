"""Whether a Role lets the service watch a policy, which is to say: whether its profile is installed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.kube.errors import KubeError
from app.kube.resources import SELF_SUBJECT_ACCESS_REVIEWS

if TYPE_CHECKING:
    from app.kube.backoff import Backoff
    from app.kube.client import KubeClient
    from app.limits.policy import Policy

logger = logging.getLogger(__name__)


async def wait_watchable(
    client: KubeClient, policy: Policy, *, namespace: str, seconds: float, backoff: Backoff
) -> None:
    """Return as soon as the service may watch the policy; ask again every so many `seconds`.

    To ask is better than to try: what is refused looks like a mistake in metrics and audit logs.
    """
    told = False
    while True:
        try:
            if await _may_watch(client, policy, namespace):
                return
        except KubeError as error:
            logger.info("whether %s may be watched cannot be asked now: %s", policy.resource.plural, error)
            await asyncio.sleep(backoff.next_seconds())
            continue
        backoff.reset()
        if not told:
            told = True
            logger.info(
                "%s/%s does not follow the mapping: no Role lets the service watch it",
                policy.kind,
                policy.name,
            )
        await asyncio.sleep(seconds)


async def _may_watch(client: KubeClient, policy: Policy, namespace: str) -> bool:
    attributes = {
        "verb": "watch",
        "group": policy.resource.group,
        "resource": policy.resource.plural,
        "namespace": namespace,
        "name": policy.name,
    }
    review = {
        "apiVersion": SELF_SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.review(SELF_SUBJECT_ACCESS_REVIEWS, review)
    return bool(answer["status"].get("allowed"))
