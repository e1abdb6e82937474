"""Issues MaaS tokens: one ServiceAccount each, and a TokenRequest for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError, KubeUnavailableError
from app.kube.resources import SERVICE_ACCOUNTS
from app.kube.timestamps import epoch, timestamp
from app.tokens.errors import ExpirationOutOfRangeError, TokenLimitReachedError
from app.tokens.names import token_id
from app.tokens.record import (
    EXPIRES_AT_ANNOTATION,
    ISSUE_ANNOTATION,
    MaasToken,
    read,
    service_account,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.kube.client import JsonObject, KubeClient
    from app.kube.pipeline import Pipeline
    from app.tokens.inventory import Inventory
    from app.tokens.orphans import Orphans

# A taken name is tried again one millisecond later. Only issues of one owner in the same millisecond collide,
# so as many tries as an owner may hold tokens by default are plenty.
_NAME_TRIES = 50


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The lifetimes that may be asked for, in seconds."""

    default: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token: the JWT, which is given out and forgotten, and its record."""

    jwt: str
    record: MaasToken

    def __repr__(self) -> str:
        return f"IssuedToken({self.record.id})"


class _Wanted(NamedTuple):
    owner: str
    groups: tuple[str, ...]
    cluster_groups: tuple[str, ...]
    tier: str
    name: str
    seconds: int


@dataclass(slots=True, eq=False)
class _Place:
    """One token that is being issued; its id is empty until a name was chosen."""

    token_id: str = ""


class Issuer:
    """Creates tokens and puts them into the inventory."""

    def __init__(
        self,
        client: KubeClient,
        inventory: Inventory,
        orphans: Orphans,
        *,
        namespace: str,
        audience: str,
        lifetimes: Lifetimes,
        time: Callable[[], float],
        mark: Callable[[], str],
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._orphans = orphans
        self._namespace = namespace
        self._audience = audience
        self._lifetimes = lifetimes
        self._time = time
        self._mark = mark
        self._pending: dict[str, list[_Place]] = {}
        self._ahead = 0.0

    async def issue(
        self,
        owner: str,
        *,
        groups: tuple[str, ...],
        cluster_groups: tuple[str, ...],
        tier: str,
        name: str,
        seconds: int | None,
        max_tokens: int,
    ) -> IssuedToken:
        """A new token for `owner`.

        A TokenRequest that fails takes the ServiceAccount it was for with it.

        Args:
            owner: who it is for.
            groups: the owner's groups now.
            cluster_groups: which of them are Groups of the cluster.
            tier: the owner's tier.
            name: the owner's own name for it; may be empty.
            seconds: the lifetime asked for, or None for the default. The API server may shorten it: the
                record's `expires_at` is what was really issued.
            max_tokens: how many live tokens the owner may hold, this one included. Replicas that issue at
                the very same moment can overshoot it by one each.

        Raises:
            ExpirationOutOfRangeError: `seconds` is outside the configured range.
            TokenLimitReachedError: the owner holds `max_tokens` already.
            KubeError: the API server refused, or is away.
        """
        seconds = self._lifetimes.default if seconds is None else seconds
        if not self._lifetimes.least <= seconds <= self._lifetimes.most:
            raise ExpirationOutOfRangeError(
                f"expiration is {seconds} seconds; it must be between {self._lifetimes.least} seconds "
                f"({_readable(self._lifetimes.least)}) and {self._lifetimes.most} seconds "
                f"({_readable(self._lifetimes.most)})."
            )
        wanted = _Wanted(owner, groups, cluster_groups, tier, name, seconds)
        place = self._take_place(owner, max_tokens)
        try:
            return await self._issue(place, wanted)
        finally:
            self._leave_place(owner, place)

    def _take_place(self, owner: str, max_tokens: int) -> _Place:
        """Take one of the owner's places before the cluster is asked, so that many requests at once count."""
        now = self._time()
        pending = self._pending.get(owner, ())
        # The watch may show a ServiceAccount before the request that creates it is answered.
        taken = {place.token_id for place in pending}
        live = sum(
            token.expires_at > now and token.id not in taken for token in self._inventory.of_owner(owner)
        )
        if live + len(pending) >= max_tokens:
            raise TokenLimitReachedError(max_tokens)
        place = _Place()
        self._pending.setdefault(owner, []).append(place)
        return place

    def _leave_place(self, owner: str, place: _Place) -> None:
        pending = self._pending[owner]
        pending.remove(place)
        if not pending:
            del self._pending[owner]

    async def _issue(self, place: _Place, wanted: _Wanted) -> IssuedToken:
        now = self._time()
        for attempt in range(_NAME_TRIES):
            place.token_id = token_id(wanted.owner, int(now * 1000) + attempt)
            body = service_account(
                token_id=place.token_id,
                namespace=self._namespace,
                owner=wanted.owner,
                groups=wanted.groups,
                cluster_groups=wanted.cluster_groups,
                tier=wanted.tier,
                name=wanted.name,
                # The API server counts from when it comes to the TokenRequest. Where that is in another
                # second than is expected here, a further call has to say so.
                expires_at=int(now + self._ahead) + wanted.seconds,
                issue=self._mark(),
            )
            async with self._client.pipeline() as pipeline:
                if (made := await self._create(pipeline, body, wanted.seconds)) is not None:
                    return await self._issued(*made, began=now)
        raise KubeUnavailableError("every name for the new ServiceAccount was taken")

    async def _create(
        self, pipeline: Pipeline, body: JsonObject, seconds: int
    ) -> tuple[JsonObject, Awaitable[JsonObject]] | None:
        """The new ServiceAccount, and the TokenRequest sent along with it; None if its name is taken."""
        try:
            creating = pipeline.create(SERVICE_ACCOUNTS, body, namespace=self._namespace)
            # Where the name is taken this is for somebody else's token: its answer is never read.
            requesting = pipeline.create(
                SERVICE_ACCOUNTS,
                self._token_request(seconds),
                namespace=self._namespace,
                name=body["metadata"]["name"],
                subresource="token",
                repeatable=True,
            )
            return await creating, requesting
        except KubeConflictError as error:
            if not error.already_exists:
                raise
            return None
        except (KubeUnavailableError, asyncio.CancelledError):
            # Nobody knows whether it was made.
            self._abandon(body)
            raise

    async def _issued(
        self, account: JsonObject, requesting: Awaitable[JsonObject], *, began: float
    ) -> IssuedToken:
        try:
            created = self._time()
            # The watch may have shown it already.
            record = self._inventory.as_it_is(account) or read(account)
            self._inventory.put(record)
            status = (await requesting)["status"]
            self._expect((created + self._time()) / 2 - began)
            record = await self._with_issued_expiry(record, status["expirationTimestamp"])
        except BaseException:
            await self._remove(account)
            raise
        return IssuedToken(status["token"], record)

    def _expect(self, seconds: float) -> None:
        """Note after how long the API server came to a TokenRequest, somewhere between its two answers."""
        if 0 <= seconds < 1:  # Anything else is a clock that was set, or an API server that has to recover.
            self._ahead += (seconds - self._ahead) / 8

    def _token_request(self, seconds: int) -> JsonObject:
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [self._audience], "expirationSeconds": seconds},
        }

    async def _with_issued_expiry(self, record: MaasToken, expiration: str) -> MaasToken:
        """The record with the expiry that was issued, which cluster and inventory are told of if it differs.

        The API server may shorten a lifetime, and counts it from its own clock.
        """
        expires_at = epoch(expiration)
        if expires_at == record.expires_at:
            return record
        changed = await self._client.merge_patch(
            SERVICE_ACCOUNTS,
            record.id,
            {
                "metadata": {
                    "uid": record.uid,
                    "annotations": {EXPIRES_AT_ANNOTATION: timestamp(expires_at)},
                }
            },
            namespace=self._namespace,
        )
        # Somebody may have changed it meanwhile, and this version tells of that too.
        record = read(changed)
        self._inventory.put(record)
        return record

    async def _remove(self, account: JsonObject) -> None:
        metadata = account["metadata"]
        if (known := self._inventory.by_uid(metadata["uid"])) is not None:
            self._inventory.revoke(known)
        try:
            await self._client.delete(
                SERVICE_ACCOUNTS, metadata["name"], namespace=self._namespace, uid=metadata["uid"]
            )
        except (KubeNotFoundError, KubeConflictError):
            pass
        except (KubeError, asyncio.CancelledError):
            self._abandon(account)

    def _abandon(self, account: JsonObject) -> None:
        metadata = account["metadata"]
        self._orphans.add(metadata["name"], metadata["annotations"][ISSUE_ANNOTATION])


def _readable(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
