"""Waits between tries grow, are spread, and start over."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from app.kube.backoff import Backoff


@given(st.integers())
def test_waits_grow_up_to_a_bound_and_are_spread(seed: int) -> None:
    backoff = Backoff(random.Random(seed), first=1, most=8)  # noqa: S311  # spreads retries
    for step in (1, 2, 4, 8, 8, 8):
        assert step / 2 <= backoff.next_seconds() <= step
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_two_replicas_do_not_move_in_step() -> None:
    first, second = (Backoff(random.Random(seed)) for seed in (1, 2))  # noqa: S311  # spreads retries
    assert first.next_seconds() != second.next_seconds()
