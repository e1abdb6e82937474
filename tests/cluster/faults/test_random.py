"""Whatever happens in whatever order, the gateway app decides as a model of ten lines says."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.cluster.faults.replicas import BOARD, EVERYBODY, FIRST, PEOPLE, TEAM, Replicas
from tests.clusters import DoubleCluster

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.cluster.faults.model import Mapping
    from tests.clusters import TestCluster

# Another seed is another history: MAAS_TESTS_SEED=1 pytest tests/cluster/faults/test_random.py
SEED = int(os.environ.get("MAAS_TESTS_SEED", "2026"))
HISTORIES, STEPS = 21, 100
# On a real API server, where each step takes longer. The first history of a run is nearly empty.
FEW_HISTORIES = 3
FEWEST_TOKENS, MOST_TOKENS = 3, 8
# In one history; each takes longer than ten other steps.
MOST_KILLS, MOST_CUTS, MOST_DISTURBANCES = 1, 2, 4


def mapping(**tiers: str) -> Mapping:
    return tuple((tier, frozenset(groups.split())) for tier, groups in tiers.items())


MAPPINGS = (
    FIRST,
    mapping(free=EVERYBODY, premium="staff"),
    mapping(free=TEAM, premium=BOARD),
    mapping(free="research", premium=TEAM, enterprise=f"{BOARD} research"),
    mapping(enterprise=EVERYBODY),
    mapping(free="nobody"),
)
NONSENSE = ("tiers: {free: 7", "tiers: {}", "nothing", "tiers: {free: {groups: [], level: high}}")

seats = st.integers(0, 1)
people = st.sampled_from(PEOPLE)
some_people = st.sets(people).map(frozenset)
some_claims = st.sets(st.sampled_from(["research", "staff"])).map(frozenset)
which = st.integers(0, MOST_TOKENS)


class History(RuleBasedStateMachine):
    """One history of two replicas; its steps run in the event loop of the test."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    cluster: ClassVar[TestCluster]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.kills = self.cuts = self.disturbances = 0
        self.replicas = Replicas(self.cluster, random.Random(SEED))  # noqa: S311  # which tokens are looked at

    @initialize()
    def begin(self) -> None:
        self.do(self.replicas.open())

    def do(self, step: Coroutine[Any, Any, None]) -> None:
        type(self).steps += 1
        self.wait(step)
        # What happens without a token is seen by nobody.
        if len(self.replicas.live) < FEWEST_TOKENS and (connected := self.those(cut_off=False)):
            type(self).steps += 1
            self.wait(self.replicas.issue(connected[0], PEOPLE[self.steps % len(PEOPLE)]))

    def wait(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self.loop).result()

    def token(self, number: int) -> str:
        return self.replicas.live[number % len(self.replicas.live)]

    def those(self, *, cut_off: bool) -> list[int]:
        """Those that are, or are not, cut off."""
        every = enumerate(self.replicas.seats)
        return [number for number, seat in every if (seat.cut_off is not None) == cut_off]

    def seat(self, number: int, *, cut_off: bool) -> int:
        some = self.those(cut_off=cut_off)
        return some[number % len(some)]

    @precondition(lambda self: len(self.replicas.live) < MOST_TOKENS)
    @rule(seat=seats, person=people)
    def issue(self, seat: int, person: str) -> None:
        self.do(self.replicas.issue(seat, person))

    @precondition(lambda self: self.replicas.live)
    @rule(seat=seats, number=which)
    def revoke(self, seat: int, number: int) -> None:
        self.do(self.replicas.revoke(seat, self.token(number)))

    @rule(seat=seats, person=people)
    def revoke_all(self, seat: int, person: str) -> None:
        self.do(self.replicas.revoke_all(seat, person))

    @rule(seat=seats, tier=st.sampled_from(["free", "premium", "enterprise"]))
    def revoke_tier(self, seat: int, tier: str) -> None:
        self.do(self.replicas.revoke_tier(seat, tier))

    @rule(seat=seats, person=people, claims=some_claims)
    def call_with_other_claims(self, seat: int, person: str, claims: frozenset[str]) -> None:
        self.do(self.replicas.call_with(seat, person, claims))

    @rule(tiers=st.sampled_from(MAPPINGS))
    def change_mapping(self, tiers: Mapping) -> None:
        self.do(self.replicas.change_mapping(tiers))

    # A replica that is cut off may or may not hear of a mapping that was in force in between.
    @precondition(lambda self: not self.those(cut_off=True))
    @rule(text=st.sampled_from(NONSENSE))
    def break_mapping(self, text: str) -> None:
        self.do(self.replicas.break_mapping(text))

    @rule(group=st.sampled_from([TEAM, BOARD]), users=some_people)
    def change_group(self, group: str, users: frozenset[str]) -> None:
        self.do(self.replicas.change_group(group, users))

    @precondition(lambda self: self.replicas.live)
    @rule(number=which)
    def expire(self, number: int) -> None:
        self.do(self.replicas.expire(self.token(number)))

    @precondition(lambda self: self.kills < MOST_KILLS)
    @rule(seat=seats)
    def kill(self, seat: int) -> None:
        self.kills += 1
        self.do(self.replicas.kill(seat))

    @precondition(lambda self: self.cuts < MOST_CUTS and self.those(cut_off=False))
    @rule(number=seats, how=st.sampled_from(["refuse", "answer 503"]))
    def cut_off(self, number: int, how: str) -> None:
        self.cuts += 1
        self.do(self.replicas.cut_off(self.seat(number, cut_off=False), how))

    @precondition(lambda self: self.those(cut_off=True))
    @rule(number=seats)
    def heal(self, number: int) -> None:
        self.do(self.replicas.heal(self.seat(number, cut_off=True)))

    @precondition(lambda self: self.disturbances < MOST_DISTURBANCES and self.those(cut_off=False))
    @rule(number=seats, how=st.sampled_from(["duplicate", "reorder"]))
    def disturb(self, number: int, how: str) -> None:
        self.disturbances += 1
        self.do(self.replicas.disturb(self.seat(number, cut_off=False), how))

    def teardown(self) -> None:
        if self.replicas.seats:
            self.wait(self.replicas.end())


@pytest.mark.timeout(600)
async def test_decisions_are_those_of_the_model_whatever_happens(cluster: TestCluster) -> None:
    here, many = cluster, isinstance(cluster, DoubleCluster)

    class Here(History):
        cluster = here
        loop = asyncio.get_running_loop()

    print(f"MAAS_TESTS_SEED={SEED}")  # noqa: T201  # shown when it fails
    chosen = settings(
        max_examples=HISTORIES if many else FEW_HISTORIES,
        stateful_step_count=STEPS,
        phases=[Phase.generate],  # Shrinking would take hours.
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, seed(SEED)(Here), settings=chosen)
    print(f"{Here.steps} steps")  # noqa: T201
    assert Here.steps >= (2000 if many else 200)
