"""Who is in which Group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.tiers.membership import Group, Membership


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def group(name: str, *users: str) -> Group:
    return Group(name, frozenset(users))


def gone(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def membership(*groups: Group, clock: Clock | None = None) -> Membership:
    made = Membership(clock=clock or Clock())
    made.replace(groups, 7)
    return made


def test_a_group_without_users_has_none() -> None:
    decode = Membership(clock=Clock()).decode
    assert decode({"metadata": {"name": "a"}, "users": None}) == group("a")
    assert decode({"metadata": {"name": "a"}}) == group("a")
    assert decode({"metadata": {"name": "a"}, "users": ["x", "y"]}) == group("a", "x", "y")


def test_a_tiers_own_group_cannot_be_given_by_a_group_of_its_name() -> None:
    assert Membership(clock=Clock()).decode({"metadata": {"name": "maas:tier:enterprise"}}) is None


def test_where_no_groups_are_served_everything_seen_is_believed() -> None:
    made = Membership(clock=Clock())
    made.replace([], 0)
    assert made.effective("alice", ("premium",), known=("premium",)) == ("premium",)


def test_whoever_joins_and_leaves_is_in_a_group_as_long_as_they_are() -> None:
    made = membership(group("premium", "bob"))
    assert made.effective("alice", ("staff",)) == ("staff",)
    made.put(group("premium", "alice", "bob"))
    assert made.effective("alice", ("staff",)) == ("staff", "premium")
    made.put(group("premium", "bob"))
    assert made.effective("alice", ("staff", "premium")) == ("staff",)


def test_a_group_that_was_known_when_it_was_seen_is_no_claim_once_it_is_deleted() -> None:
    made = membership()
    assert made.effective("alice", ("staff", "premium"), known=("premium",)) == ("staff",)


def test_a_group_that_was_just_deleted_does_not_come_back_as_a_claim() -> None:
    clock = Clock()
    made = membership(group("premium", "alice"), clock=clock)
    made.remove(gone("premium"))
    assert made.effective("alice", ("premium",)) == ()
    clock.now += 1000
    made.put(group("other", "bob"))
    made.remove(gone("other"))
    assert made.known(("premium", "other")) == ("other",)


def test_a_group_that_went_while_the_watch_was_cut_is_gone() -> None:
    made = membership(group("premium", "alice"), group("staff", "alice"))
    made.replace([group("staff", "alice")], 9)
    assert made.groups_of("alice") == {"staff"}
    assert made.known(("claim", "premium", "staff")) == ("premium", "staff")


def test_only_those_who_changed_are_told_of() -> None:
    made = membership(group("premium", "alice", "bob"))
    told: list[frozenset[str]] = []
    made.subscribe(told.append)
    made.put(group("premium", "bob", "carol"))
    made.put(group("premium", "bob", "carol"))
    made.replace([group("premium", "bob", "dave")], 9)
    made.remove(gone("premium"))
    made.remove(gone("premium"))
    assert told == [{"alice", "carol"}, {"carol", "dave"}, {"bob", "dave"}]


_NAMES = st.sampled_from("abc")
_USERS = st.frozensets(st.sampled_from("xyz"))


@given(st.lists(st.tuples(_NAMES, st.none() | _USERS)))
def test_changes_one_by_one_lead_to_what_a_list_says(
    changes: list[tuple[str, frozenset[str] | None]],
) -> None:
    one_by_one, state = membership(), dict[str, frozenset[str]]()
    for name, users in changes:
        if users is None:
            state.pop(name, None)
            one_by_one.remove(gone(name))
        else:
            state[name] = users
            one_by_one.put(Group(name, users))
    listed = membership(*(Group(name, users) for name, users in state.items()))
    for user in "xyz":
        assert one_by_one.groups_of(user) == listed.groups_of(user)


def test_the_name_of_a_group_deleted_long_ago_may_be_a_claim() -> None:
    clock = Clock()
    groups = membership(group("premium-users", "alice"), clock=clock)
    groups.remove(gone("premium-users"))
    assert groups.effective("bob", ("premium-users",)) == ()
    clock.now += 121
    assert groups.effective("bob", ("premium-users",)) == ("premium-users",)
    assert groups.effective("alice", ("premium-users",), known=("premium-users",)) == ()
