"""What a Lease says, whoever has written into it."""

from __future__ import annotations

from typing import Any

import pytest

from app.kube.lease import LONGEST_SECONDS, claimed, holder_of, record_of, released, seconds_of

NOW = 1_795_456_035.123456
TIME = "2026-11-23T17:47:15.123456Z"


@pytest.mark.parametrize("lease", [None, {}, {"spec": None}, {"spec": "odd"}, {"spec": []}])
def test_a_lease_that_says_nothing_has_an_empty_record(lease: Any) -> None:
    assert record_of(lease) == {}
    assert holder_of({}) == ""


@pytest.mark.parametrize("holder", [None, 7, [], {}, ""])
def test_a_holder_that_cannot_be_read_is_nobody(holder: Any) -> None:
    assert holder_of({"holderIdentity": holder}) == ""


@pytest.mark.parametrize("seconds", [None, 0, -1, "15", 1.5, True, [], {}])
def test_a_duration_that_cannot_be_read_is_the_readers_own(seconds: Any) -> None:
    assert seconds_of({"leaseDurationSeconds": seconds}, default=3.5) == 3.5


def test_a_duration_is_bounded() -> None:
    assert seconds_of({"leaseDurationSeconds": 20}, default=1) == 20
    assert seconds_of({"leaseDurationSeconds": 2**31 - 1}, default=1) == LONGEST_SECONDS


def test_a_new_claim_is_complete() -> None:
    assert claimed({}, identity="a", seconds=1.2, now=NOW) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 2,
        "acquireTime": TIME,
        "renewTime": TIME,
        "leaseTransitions": 0,
    }


def test_a_renewal_moves_nothing_but_the_time() -> None:
    first = claimed({}, identity="a", seconds=15, now=NOW)
    renewed = claimed(first, identity="a", seconds=15, now=NOW + 1)

    assert renewed == {**first, "renewTime": TIME.replace(":15.", ":16.")}


@pytest.mark.parametrize(
    ("transitions", "then"), [(0, 1), (41, 42), (None, 0), ("many", 0), (-3, 0), (True, 0)]
)
def test_a_takeover_counts_and_keeps_what_it_does_not_know(transitions: Any, then: int) -> None:
    record = {"holderIdentity": "a", "leaseTransitions": transitions, "strategy": "Odd"}
    taken = claimed(record, identity="b", seconds=15, now=NOW)

    assert taken["leaseTransitions"] == then
    assert taken["acquireTime"] == TIME
    assert taken["strategy"] == "Odd"


def test_a_released_lease_is_nobodys_and_keeps_its_count() -> None:
    record = released({"holderIdentity": "a", "leaseTransitions": 3, "leaseDurationSeconds": 15}, now=NOW)

    assert holder_of(record) == ""
    assert (record["leaseTransitions"], record["leaseDurationSeconds"]) == (3, 1)
