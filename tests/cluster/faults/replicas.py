"""Two replicas to which things happen, and what is true meanwhile."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from app.kube.resources import GROUPS, SERVICE_ACCOUNTS
from tests.cluster.faults.model import Mapping, Token, World
from tests.cluster.faults.proxy import FaultProxy, fault_proxy
from tests.workspace import Caller, Replica, Workspace, eventually, replica

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    import httpx

    from app.tiers.source import TierSource
    from tests.clusters import TestCluster

PEOPLE = ("alice", "bob", "carol")
EVERYBODY = "system:authenticated"
TEAM, BOARD = "team", "board"
FIRST: Mapping = (
    ("free", frozenset({EVERYBODY})),
    ("premium", frozenset({TEAM, "research"})),
    ("enterprise", frozenset({BOARD, "staff"})),
)

SETTINGS: dict[str, Any] = {
    "kube": {"request_seconds": 5, "watch_seconds": 30},
    "leader": {"lease_seconds": 2, "renew_seconds": 1.5, "retry_seconds": 0.1},
    "reconcilers": {"reaper_seconds": 0.2, "writes_per_second": 1000},
}


@dataclass
class Seat:
    """A replica, its proxy, and what it can know.

    Attributes:
        cut_off: what was true when it was cut off; None while it is not.
        blind_since: how many valid mappings there had been when it started and found an invalid one.
    """

    replica: Replica
    proxy: FaultProxy
    stack: AsyncExitStack
    cut_off: World | None = None
    blind_since: int | None = None

    def knows(self, truth: World) -> World:
        """The world that it should decide by."""
        if self.cut_off:
            return self.cut_off
        return replace(truth, mapping=None) if self.blind_since == truth.mappings else truth


class Replicas:
    """A workspace with two replicas, and what is done to them; each of it waits until it has come through."""

    def __init__(self, cluster: TestCluster, chance: random.Random) -> None:
        self.workspace = Workspace(cluster)
        self.truth = World(FIRST)
        self.valid = True
        self.seats: list[Seat] = []
        self.callers: dict[str, str] = {}
        self.chance = chance

    @property
    def live(self) -> list[str]:
        return [token_id for person in PEOPLE for token_id in self.truth.live(person)]

    async def open(self) -> None:
        self._client = aiohttp.ClientSession()
        await self.workspace.open()
        for group in (TEAM, BOARD):
            name = self._group(group)
            body = {"apiVersion": GROUPS.api_version, "kind": "Group", "metadata": {"name": name}}
            await self.workspace.cluster.admin.create(GROUPS, {**body, "users": []})
            self.truth.groups[group] = frozenset()
        await self._write_mapping(FIRST)
        for person in PEOPLE:
            await self._log_in(person, frozenset())
        self.admin = await self.workspace.person("root", "system:masters")
        for _ in range(2):
            self.seats.append(await self._start())

    async def end(self) -> None:
        """Everything has converged, and all of it goes."""
        try:
            await self.converged()
        finally:
            for seat in self.seats:
                await seat.stack.aclose()
            await self.close()

    async def close(self) -> None:
        await self._client.close()
        for group in (TEAM, BOARD):
            await self.workspace.cluster.admin.delete(GROUPS, self._group(group))
        await self.workspace.close()

    # What people do

    async def issue(self, number: int, person: str) -> None:
        seat = self.seats[number]
        caller = Caller(seat.replica.public, self.callers[person])
        if not seat.cut_off:
            await self._stands(seat, person)
        response = await caller.issue()
        expected = self._standing(seat, person)
        if response.status_code != 201:
            self._refused(response, seat, expected)
            return
        assert not seat.cut_off
        document = response.json()
        assert document["tier"] == expected
        self.truth.tokens[document["id"]] = Token(document["token"], person)
        await self.settled(document["id"])

    async def revoke(self, number: int, token_id: str) -> None:
        seat = self.seats[number]
        owner = self.truth.tokens[token_id].owner
        caller = Caller(seat.replica.public, self.callers[owner])
        response = await caller.delete(f"/maas-api/tokens/{token_id}")
        if seat.cut_off:
            self._refused(response, seat)
        else:
            assert response.status_code == 204, response.text
            self._gone(token_id)
        await self.settled(token_id)

    async def revoke_all(self, number: int, person: str) -> None:
        seat = self.seats[number]
        response = await Caller(seat.replica.public, self.callers[person]).delete("/maas-api/tokens")
        if seat.cut_off:
            self._refused(response, seat)
        else:
            assert response.status_code == 200, response.text
            self._gone(*self.truth.live(person))
        await self.settled()

    async def revoke_tier(self, number: int, tier: str) -> None:
        seat = self.seats[number]
        caller = Caller(seat.replica.public, self.admin)
        response = await caller.delete(f"/maas-api/admin/tiers/{tier}/tokens")
        mapping = seat.knows(self.truth).mapping
        if mapping is None:
            self._refused(response, seat, "mapping_unavailable")
        elif tier not in [name for name, _ in mapping]:
            self._refused(response, seat, "tier_not_found")
        elif seat.cut_off:
            self._refused(response, seat)
        else:
            assert response.status_code == 200, response.text
            self._gone(*(token for token in self.live if self.truth.decision(token) == tier))
        await self.settled()

    async def call_with(self, number: int, person: str, claims: frozenset[str]) -> None:
        """A person whom the identity provider has put into other groups logs in again, and calls."""
        former = self.callers[person], self.truth.claims[person]
        await self._log_in(person, claims)
        seat = self.seats[number]
        if seat.cut_off:
            response = await Caller(seat.replica.public, self.callers[person]).get("/maas-api/tier")
            self._refused(response, seat)
            self.callers[person], self.truth.claims[person] = former
        else:
            await self._stands(seat, person)
            if seat.knows(self.truth).mapping is None:
                # Without a mapping nothing is looked at, and their next call tells it.
                self.callers[person], self.truth.claims[person] = former
                return
            await eventually(lambda: self._written_down(person), seconds=30)
        await self.settled()

    async def change_mapping(self, mapping: Mapping) -> None:
        await self._write_mapping(mapping)
        self.truth.mapping, self.valid = mapping, True
        self.truth.mappings += 1
        await self._in_force()
        await self.settled()

    async def break_mapping(self, text: str) -> None:
        await self.workspace.map_tiers(text)
        self.valid = False
        await self.settled()

    async def change_group(self, group: str, users: frozenset[str]) -> None:
        patch = {"users": sorted(users)}
        await self.workspace.cluster.admin.merge_patch(GROUPS, self._group(group), patch)
        self.truth.groups[group] = users
        await self.settled()

    async def expire(self, token_id: str) -> None:
        annotations = {"maas.opendatahub.io/expires-at": "2001-01-01T00:00:00Z"}
        await self.workspace.cluster.admin.merge_patch(
            SERVICE_ACCOUNTS,
            token_id,
            {"metadata": {"annotations": annotations}},
            namespace=self.workspace.namespace,
        )
        self._gone(token_id)
        await self.settled(token_id)

    # What happens to replicas

    async def kill(self, number: int) -> None:
        """A replica is gone, and neither its lease nor anything else is given back; another one starts."""
        seat = self.seats[number]
        await seat.proxy.refuse()
        await seat.stack.aclose()
        self.seats[number] = await self._start()
        await self.settled()

    async def cut_off(self, number: int, how: str) -> None:
        seat = self.seats[number]
        await self._agree(seat, self.truth.tokens)
        seat.cut_off = seat.knows(self.truth).copy()
        if how == "refuse":
            await seat.proxy.refuse()
        else:
            seat.proxy.answer(503)
        await self.settled()

    async def heal(self, number: int) -> None:
        seat = self.seats[number]
        await seat.proxy.heal()
        seat.cut_off = None
        await self._in_force()
        await self.settled()

    async def disturb(self, number: int, how: str) -> None:
        proxy = self.seats[number].proxy
        if how == "duplicate":
            proxy.duplicate_events()
        else:
            proxy.reorder_events_after_relist()
        await self.settled()

    # What must hold

    async def settled(self, *token_ids: str) -> None:
        """Every replica decides as it should, about a token of everybody, one that is gone, and these."""
        gone = [token_id for token_id, token in self.truth.tokens.items() if token.gone]
        kinds = [gone, *(self.truth.live(person) for person in PEOPLE)]
        looked_at = {*token_ids, *(self.chance.choice(tokens) for tokens in kinds if tokens)}
        for seat in self.seats:
            await self._agree(seat, sorted(looked_at))

    async def converged(self) -> None:
        """With everything healed, all of it is as it should be: decisions, lists, ServiceAccounts, labels."""
        for number in range(len(self.seats)):
            await self.heal(number)
        for seat in self.seats:
            await self._agree(seat, self.truth.tokens)
            for person in PEOPLE:
                await self._stands(seat, person)
                listed = await Caller(seat.replica.public, self.callers[person]).listed()
                assert {token["id"] for token in listed} == set(self.truth.live(person))
        # A leader that does not know the mapping relabels nothing.
        if all(seat.knows(self.truth).mapping for seat in self.seats):
            await eventually(self._labelled, seconds=30)

    def _refused(self, response: httpx.Response, seat: Seat, *codes: str) -> None:
        """Refused for one of these reasons, or because the API server cannot be asked."""
        acceptable = {*codes, "upstream_unavailable"} if seat.cut_off else {*codes}
        assert response.json()["code"] in acceptable, response.text

    async def _labelled(self) -> bool:
        found = {}
        for account in await self.workspace.service_accounts():
            labels = account["metadata"]["labels"]
            suspended = labels.get("maas.opendatahub.io/suspended")
            found[account["metadata"]["name"]] = "no_tier" if suspended else labels["tier"]
        return found == {token_id: self.truth.decision(token_id) for token_id in self.live}

    async def _in_force(self) -> None:
        """Every replica that can has read the mapping.

        It must have before that is replaced by one that cannot be read, or would never see it.
        """
        wanted = {tier: {self._group(group) for group in groups} for tier, groups in self.truth.mapping or ()}
        for seat in self.seats:
            tiers = seat.replica.service.tiers

            def so(tiers: TierSource = tiers) -> bool:
                read = tiers.mapping
                return read is not None and {tier.name: {*tier.groups} for tier in read.tiers} == wanted

            if seat.cut_off is None and seat.blind_since != self.truth.mappings:
                await eventually(so, seconds=30)

    async def _agree(self, seat: Seat, token_ids: Iterable[str]) -> None:
        for token_id in token_ids:
            jwt = self.truth.tokens[token_id].jwt
            expected = {seat.knows(self.truth).decision(token_id)}
            if seat.cut_off and expected == {"invalid_api_key"}:
                # Whether it knows for sure that a token is gone depends on how it heard of that.
                expected.add("upstream_unavailable")
            decided = ""

            async def agrees(jwt: str = jwt, expected: set[str] = expected) -> bool:
                nonlocal decided
                decided = await self._decision(seat, jwt)
                return decided in expected

            try:
                await eventually(agrees, seconds=30)
            except AssertionError:
                pytest.fail(f"replica {self.seats.index(seat)}, {token_id}: {decided} instead of {expected}")

    async def _decision(self, seat: Seat, jwt: str) -> str:
        """As `pair.decision`, with a client that costs less: this is most of what a history does."""
        url = f"{seat.replica.gateway.base_url}/internal/authorize/v1/models"
        async with self._client.get(url, headers={"Authorization": f"Bearer {jwt}"}) as response:
            tier = response.headers.get("x-maas-tier")
            return tier or str((await response.json())["error"]["code"])

    async def _stands(self, seat: Seat, person: str) -> None:
        """The public app tells a person the tier that they should have."""
        caller = Caller(seat.replica.public, self.callers[person])

        async def so() -> bool:
            document = (await caller.get("/maas-api/tier")).json()
            return bool(document.get("tier", document.get("code")) == self._standing(seat, person))

        await eventually(so, seconds=30)

    def _standing(self, seat: Seat, person: str) -> str:
        return replace(seat.knows(self.truth), tokens={"": Token("", person)}).decision("")

    async def _written_down(self, person: str) -> bool:
        """Whether the person's live tokens say which groups the identity provider gives them."""
        wanted = self.truth.claims[person] | {EVERYBODY}
        for account in await self.workspace.service_accounts():
            annotations = account["metadata"]["annotations"]
            mine = account["metadata"]["name"] in self.truth.live(person)
            groups = set(json.loads(annotations["maas.opendatahub.io/groups"]))
            if mine and groups - {self._group(TEAM), self._group(BOARD)} != wanted:
                return False
        return True

    def _gone(self, *token_ids: str) -> None:
        for token_id in token_ids:
            self.truth.tokens[token_id].gone = True

    def _group(self, name: str) -> str:
        """Groups are cluster-wide: those of this workspace have names of their own."""
        return f"{name}-{self.workspace.suffix}" if name in (TEAM, BOARD) else name

    async def _log_in(self, person: str, claims: frozenset[str]) -> None:
        # A TokenReview names the Groups of the cluster too, as they are at that moment.
        member = {self._group(group) for group, users in self.truth.groups.items() if person in users}
        self.callers[person] = await self.workspace.person(person, *sorted(claims | member))
        self.truth.claims[person] = claims

    async def _write_mapping(self, mapping: Mapping) -> None:
        tiers = {
            tier: {
                "groups": [self._group(group) for group in sorted(groups)],
                "rateLimit": {"requestsPerMinute": 10 * place},
            }
            for place, (tier, groups) in enumerate(mapping, start=1)
        }
        await self.workspace.map_tiers(yaml.safe_dump({"tiers": tiers}))

    async def _start(self) -> Seat:
        stack = AsyncExitStack()
        proxy = await stack.enter_async_context(fault_proxy(await self.workspace.service_kubeconfig()))
        running = await stack.enter_async_context(
            replica(self.workspace, through=proxy.kubeconfig, **SETTINGS)
        )
        return Seat(running, proxy, stack, blind_since=None if self.valid else self.truth.mappings)
