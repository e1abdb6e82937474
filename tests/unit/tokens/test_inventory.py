"""The index: what it holds, and in which order it believes what it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.tokens.chronicle import age
from app.tokens.inventory import Inventory
from app.tokens.record import MaasToken
from tests.unit.tokens.test_record import an_account


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def token(number: int = 1, *, version: int = 10, owner: str = "alice", uid: str | None = None) -> MaasToken:
    return MaasToken(
        id=f"{owner}-sa-{number}",
        uid=uid or f"uid-{owner}-{number}",
        owner=owner,
        groups=(),
        cluster_groups=(),
        tier="free",
        suspended=False,
        name="",
        created_at=number,
        expires_at=2_000_000_000,
        resource_version=version,
    )


def deleted(item: MaasToken, *, version: int | None = None) -> dict[str, dict[str, str]]:
    version = item.resource_version if version is None else version
    return {"metadata": {"name": item.id, "uid": item.uid, "resourceVersion": str(version)}}


def test_tokens_are_found_by_uid_id_and_owner() -> None:
    inventory = Inventory(clock=Clock())
    one, two, other = token(1), token(2), token(3, owner="bob")
    inventory.replace([two, one, other], 10)
    assert inventory.by_uid(one.uid) == inventory.by_id(one.id) == one
    assert inventory.of_owner("alice") == [one, two]
    assert inventory.of_owner("nobody") == []
    assert list(inventory.after(None)) == [one, two, other]
    assert len(inventory) == 3


def test_tokens_younger_than_one_follow_it_in_the_order_of_their_age() -> None:
    inventory = Inventory(clock=Clock())
    one, two, three, four = (token(number) for number in range(1, 5))
    inventory.replace([three, one], 10)
    assert list(inventory.after(None)) == [one, three]
    inventory.put(four)
    inventory.put(two)
    assert list(inventory.after(age(one))) == [two, three, four]
    inventory.revoke(three)
    inventory.put(changed := replace(two, tier="premium", resource_version=20))
    assert list(inventory.after((one.created_at, one.id))) == [changed, four]
    assert list(inventory.after(age(four))) == []
    inventory.replace([changed], 30)
    assert list(inventory.after(None)) == [changed]


def test_what_a_new_list_shows_unchanged_is_not_made_again() -> None:
    inventory = Inventory(clock=Clock())
    known = inventory.decode(an_account())
    assert known is not None
    inventory.replace([known], 30)
    assert inventory.decode(an_account()) is known
    changed = an_account()
    changed["metadata"]["resourceVersion"] = "31"
    changed["metadata"]["labels"]["tier"] = "premium"
    assert inventory.decode(changed) == replace(known, tier="premium", resource_version=31)


def test_an_older_event_does_not_undo_a_newer_one() -> None:
    inventory = Inventory(clock=Clock())
    newer = replace(token(version=20), tier="premium")
    inventory.put(newer)
    inventory.put(token(version=10))
    assert inventory.by_id(newer.id) == newer


def test_a_list_taken_before_a_token_was_issued_does_not_take_it_out() -> None:
    inventory = Inventory(clock=Clock())
    issued = token(version=20)
    inventory.put(issued)
    inventory.replace([], 19)
    assert inventory.by_uid(issued.uid) == issued
    inventory.replace([], 20)
    assert inventory.by_uid(issued.uid) is None
    assert inventory.of_owner("alice") == []


def test_what_was_revoked_here_does_not_come_back_from_an_older_list_or_event() -> None:
    inventory = Inventory(clock=Clock())
    revoked = token()
    inventory.put(revoked)
    inventory.revoke(revoked)
    inventory.put(revoked)
    inventory.replace([revoked], 30)
    assert inventory.by_uid(revoked.uid) is None
    assert inventory.was_revoked(revoked.uid)


def test_what_the_watch_saw_go_does_not_come_back_by_an_answer_it_overtook() -> None:
    inventory = Inventory(clock=Clock())
    gone = token(version=10)
    inventory.remove(deleted(gone, version=12))
    inventory.put(gone)
    assert inventory.by_uid(gone.uid) is None
    assert not inventory.was_revoked(gone.uid)


def test_what_was_deleted_while_no_watch_could_tell_does_not_come_back_by_a_slow_answer() -> None:
    inventory = Inventory(clock=Clock())
    inventory.replace([], 20)
    gone, issued_since = token(1, version=10), token(2, version=21)
    inventory.learn(gone)
    inventory.learn(issued_since)
    assert list(inventory.after(None)) == [issued_since]


def test_a_new_list_is_believed_also_when_the_cluster_was_set_back_to_an_older_version() -> None:
    inventory = Inventory(clock=Clock())
    inventory.replace([], 1_000)
    restored, issued_since = token(1, version=10), token(2, version=12)
    inventory.replace([restored], 11)
    inventory.learn(issued_since)
    assert list(inventory.after(None)) == [restored, issued_since]


def test_a_service_account_that_lost_its_label_and_got_it_back_is_a_token_again() -> None:
    inventory = Inventory(clock=Clock())
    former, mended = token(version=10), token(version=13)
    inventory.put(former)
    inventory.remove(deleted(former, version=12))
    inventory.put(mended)
    assert inventory.by_uid(mended.uid) == mended


def test_what_was_revoked_here_stays_so_when_the_watch_tells_of_it_too() -> None:
    inventory = Inventory(clock=Clock())
    inventory.revoke(token(version=10))
    inventory.remove(deleted(token(), version=12))
    inventory.put(token(version=20))
    assert inventory.was_revoked(token().uid)
    assert len(inventory) == 0


def test_revocations_are_remembered_for_a_bounded_time() -> None:
    clock = Clock()
    inventory = Inventory(clock=clock)
    inventory.revoke(token(1))
    clock.now = 301
    inventory.revoke(token(2))
    assert not inventory.was_revoked(token(1).uid)
    assert inventory.was_revoked(token(2).uid)


def test_a_service_account_made_again_takes_the_place_of_the_former() -> None:
    inventory = Inventory(clock=Clock())
    former, again = token(version=10, uid="first"), token(version=20, uid="second")
    inventory.put(former)
    inventory.put(again)
    assert inventory.by_uid("first") is None
    assert inventory.by_id(again.id) == again
    inventory.put(former)
    assert inventory.by_uid("first") is None
    inventory.remove(deleted(former))
    assert inventory.by_id(again.id) == again
    inventory.remove(deleted(again))
    assert len(inventory) == 0


def test_an_unreadable_service_account_is_passed_over_and_reported_once(caplog: object) -> None:
    inventory = Inventory(clock=Clock())
    broken = an_account()
    broken["metadata"]["annotations"]["maas.opendatahub.io/groups"] = "x"
    assert inventory.decode(broken) is None
    assert inventory.decode(broken) is None
    assert inventory.decode(an_account()) is not None
    lines = [record.getMessage() for record in caplog.records]  # type: ignore[attr-defined]
    assert len([line for line in lines if "alice-sa-1 is passed over" in line]) == 1
    inventory.remove(broken)
    inventory.decode(broken)
    assert len(caplog.records) == 2  # type: ignore[attr-defined]


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "revoke", "replace"]),
        st.integers(min_value=1, max_value=4),
        st.integers(min_value=1, max_value=50),
    ),
    max_size=40,
)


@given(steps)
def test_the_three_indexes_always_agree(history: list[tuple[str, int, int]]) -> None:
    inventory = Inventory(clock=Clock())
    for action, number, version in history:
        item = token(number, version=version, uid=f"{number}-{version % 3}")
        if action == "put":
            inventory.put(item)
        elif action == "remove":
            inventory.remove(deleted(item))
        elif action == "revoke":
            inventory.revoke(item)
        else:
            inventory.replace([item], version)
        everything = list(inventory.after(None))
        assert len(inventory) == len(everything)
        assert inventory.of_owner("alice") == sorted(everything, key=lambda kept: (kept.created_at, kept.id))
        assert all(inventory.by_uid(kept.uid) is kept for kept in everything)
        assert all(inventory.by_id(kept.id) is kept for kept in everything)
