"""Pages by a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.api.paging import page, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.api.paging import Key

ITEMS = [(number // 3, f"item-{number}") for number in range(10)]


def key(item: Key) -> Key:
    return item


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
def test_pages_follow_each_other_without_gap_or_repetition(limit: int) -> None:
    seen: list[Key] = []
    cursor = None
    while True:
        shown, cursor = page(ITEMS, key, limit=limit, after=start(cursor))
        assert len(shown) <= limit
        seen += shown
        if cursor is None:
            break
    assert seen == ITEMS


def test_nothing_gives_an_empty_page() -> None:
    assert page([], key, limit=10, after=None) == ([], None)


def test_no_more_is_taken_than_a_page_needs() -> None:
    def items() -> Iterator[Key]:
        yield from ITEMS[:3]
        raise AssertionError("that was not needed")

    assert page(items(), key, limit=2, after=None) == (ITEMS[:2], "0.item-1")
