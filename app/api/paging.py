"""Pages of tokens, by a cursor that survives what is issued and revoked in between."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Key = tuple[int, str]

CURSOR_PATTERN = r"^[0-9]{1,12}\.[a-z0-9.-]{1,253}$"
"""Every cursor that a page gives, and no text that cannot be one."""


def start(cursor: str | None) -> Key | None:
    """After which item a page begins.

    Args:
        cursor: where the page before ended, in the form of `CURSOR_PATTERN`; None for the first page.
    """
    if not cursor:
        return None
    moment, _, name = cursor.partition(".")
    return int(moment), name


def page(
    items: Iterable[T], key: Callable[[T], Key], *, limit: int, after: Key | None
) -> tuple[list[T], str | None]:
    """One page of `items`, which are in the order of `key`, and the cursor of the next page, if there is one.

    Args:
        items: everything there is, or everything after `after`; no more is taken than the page needs.
        key: when an item was made, in seconds since the epoch, and its name.
        limit: how many items make a page.
        after: from `start`.
    """
    shown = list(islice((item for item in items if after is None or key(item) > after), limit + 1))
    if len(shown) <= limit:
        return shown, None
    del shown[limit:]
    moment, name = key(shown[-1])
    return shown, f"{moment}.{name}"
