"""Keeps one policy equal to the tier mapping, by server-side apply, and fights with nobody.

What others have added stays. What others have set otherwise stays too and is reported, unless they are the
tools by which people install the shipped manifests: those got their numbers from the same mapping.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from app.kube.backoff import Backoff
from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError, KubeUnavailableError
from app.kube.one_object import OneObject
from app.kube.reflector import Reflector
from app.limits.fields import differences
from app.limits.policy import NotFollowedError
from app.reconcilers.policy_role import wait_watchable
from app.reconcilers.policy_standing import Standing, contested, different, in_step, refused, reported
from app.reconcilers.policy_writer import PolicyWriter
from app.reconcilers.runs import counted

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from app.kube.client import JsonObject, KubeClient
    from app.kube.reflector import ReflectorObserver
    from app.limits.policy import Policy, Wanted
    from app.reconcilers.policy_standing import LimitsObserver, Warn
    from app.reconcilers.runs import Run
    from app.tiers.source import TierSource

logger = logging.getLogger(__name__)

# Where two write in turn after all, they do so slowly.
_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Keeping:
    """How policies are kept.

    Attributes:
        client: the cluster.
        namespace: of the policies.
        mode: ``apply``, or ``report`` to write nothing.
        installers: field managers whose fields are taken over.
        warn: tells people of what needs them, by a Kubernetes Event.
        observe: counts.
        observe_reflector: is told what the reflector of each policy goes through.
        random: spreads retries.
        clock: monotonic seconds.
        resync_seconds: how often all is looked at again, though nothing has happened.
        role_seconds: how often it is asked whether there is a Role now.
    """

    client: KubeClient
    namespace: str
    mode: Literal["apply", "report"]
    installers: frozenset[str]
    warn: Warn
    observe: LimitsObserver
    observe_reflector: ReflectorObserver
    random: random.Random
    clock: Callable[[], float]
    resync_seconds: float = 60
    role_seconds: float = 10


class PolicyKeeper:
    """Follows the mapping and one policy; run again, it starts afresh."""

    def __init__(self, policy: Policy, tiers: TierSource, keeping: Keeping) -> None:
        self._policy = policy
        self._tiers = tiers
        self._keeping = keeping
        self._writer = PolicyWriter(
            keeping.client, policy, namespace=keeping.namespace, installers=keeping.installers
        )
        self._backoff = Backoff(keeping.random)
        self._changed = asyncio.Event()
        self._seen = _Seen(self._changed)
        self._claimed: tuple[str, JsonObject] | None = None
        self._standing: Standing | None = None
        tiers.subscribe(self._changed.set)

    @property
    def title(self) -> str:
        """Kind and name, such as ``RateLimitPolicy/maas-inference``."""
        return f"{self._policy.kind}/{self._policy.name}"

    async def run(self) -> None:
        """Keep the policy until cancelled."""
        keeping = self._keeping
        self._seen, self._claimed, self._standing = _Seen(self._changed), None, None
        await wait_watchable(
            keeping.client,
            self._policy,
            namespace=keeping.namespace,
            seconds=keeping.role_seconds,
            backoff=self._backoff,
        )
        reflector = Reflector(
            keeping.client,
            self._policy.resource,
            self._seen,
            backoff=Backoff(keeping.random),
            clock=keeping.clock,
            observe=keeping.observe_reflector,
            namespace=keeping.namespace,
            selectors={"fieldSelector": f"metadata.name={self._policy.name}"},
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(reflector.run(), name=f"reflector {self.title}")
                group.create_task(self._follow(), name=f"following {self.title}")
        finally:
            # Another replica says from now on how the policy stands.
            keeping.observe.forget_limits(self.title)

    async def _follow(self) -> None:
        while True:
            self._changed.clear()
            with counted("limits", self._keeping.observe) as run:
                seconds = await self._reconcile(run)
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _reconcile(self, run: Run) -> float:
        """Make the policy what it should be, as far as it may be; return when to look again, in seconds."""
        obj, mapping = self._seen.obj, self._tiers.mapping
        if obj is None or mapping is None:
            if self._seen.listed and obj is None:
                await self._stand(Standing(None, "it is not in the cluster, and nothing creates it"))
            return self._keeping.resync_seconds
        try:
            wanted = self._policy.wanted(mapping, obj)
        except NotFollowedError as error:
            await self._stand(Standing(None, f"it is left as it is: {error}"))
            return self._keeping.resync_seconds
        if self._keeping.mode == "report":
            await self._stand(different(_differing(obj, wanted), wanted))
            return self._keeping.resync_seconds
        return await self._apply(obj, wanted, run)

    async def _apply(self, obj: JsonObject, wanted: Wanted, run: Run) -> float:
        claim = (obj["metadata"]["uid"], wanted.spec)
        # What was said once is said again only where it makes a difference: not for every change of status.
        if claim == self._claimed and not _differing(obj, wanted):
            await self._stand(in_step(wanted))
            return self._keeping.resync_seconds
        try:
            written = await self._writer.write(obj, wanted)
        except (KubeConflictError, KubeNotFoundError, KubeUnavailableError) as error:
            run.fail()
            # It has changed meanwhile or is gone, which the reflector will tell, or the API server is away.
            logger.info("%s: will be tried again: %s", self.title, error)
            return error.retry_after or self._backoff.next_seconds()
        except KubeError as error:
            run.fail()
            await self._stand(refused(error))
            return self._keeping.resync_seconds
        self._backoff.reset()
        self._claimed = claim
        if written.changed:
            self._keeping.observe.count_limits_written(self.title)
            logger.info("%s: the limits of the mapping were written into it", self.title)
        await self._stand(contested(written.kept, wanted))
        await asyncio.sleep(_PAUSE_SECONDS)
        return self._keeping.resync_seconds

    async def _stand(self, standing: Standing) -> None:
        """Say how the policy stands: in the metrics always, to people when it is news."""
        self._keeping.observe.observe_limits(
            self.title, in_step=standing.in_step, contested=standing.contested
        )
        if standing != self._standing:
            await reported(self.title, standing, self._standing, self._keeping.warn)
            self._standing = standing


class _Seen(OneObject):
    """The policy as the reflector sees it; a `Sink`."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self.obj: JsonObject | None = None
        self.listed = False

    def put(self, item: JsonObject) -> None:
        self._see(item)

    def lose(self, why: str) -> None:  # noqa: ARG002  # it does not matter here
        self._see(None)

    def _see(self, obj: JsonObject | None) -> None:
        # Events come after a first list only.
        self.listed = True
        self.obj = obj
        self._changed.set()


def _differing(obj: JsonObject, wanted: Wanted) -> list[str]:
    """The fields that are not as they should be, those that should not be there among them."""
    present: Any = obj.get("spec")
    removed = (".".join(("", "spec", *path)) for path in wanted.removed)
    return [*differences(present, wanted.spec, ".spec"), *removed]
