"""Pages of tokens, by a cursor that survives what is issued and revoked in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
Key = tuple[int, str]

CURSOR_PATTERN = r"^[0-9]{1,12}\.[a-z0-9.-]{1,253}$"
"""Every cursor that a page gives, and no text that cannot be one."""


def page(
    items: Sequence[T], key: Callable[[T], Key], *, limit: int, cursor: str | None
) -> tuple[Sequence[T], str | None]:
    """One page of `items`, which are in the order of `key`, and the cursor of the next page, if there is one.

    Args:
        items: everything there is.
        key: when an item was made, in seconds since the epoch, and its name.
        limit: how many items make a page.
        cursor: where the page before ended, in the form of `CURSOR_PATTERN`; None for the first page.
    """
    if cursor:
        moment, _, name = cursor.partition(".")
        after = (int(moment), name)
        items = [item for item in items if key(item) > after]
    shown = items[:limit]
    if len(items) <= limit:
        return shown, None
    moment_of_last, name_of_last = key(shown[-1])
    return shown, f"{moment_of_last}.{name_of_last}"
