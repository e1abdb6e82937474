"""Tokens in the order in which they were issued, for who pages through all of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from app.tokens.record import MaasToken

Key = tuple[int, str]


def age(token: MaasToken) -> Key:
    """What the order goes by; it never changes in the life of a token, and no two have the same."""
    return token.created_at, token.id


class Chronicle:
    """A sorted list of tokens, oldest first, that is made when it is first asked for and then kept up.

    Sorting a hundred thousand tokens for each page would hold up every decision meanwhile.
    """

    def __init__(self, everything: Callable[[], Iterable[MaasToken]]) -> None:
        self._everything = everything
        self._sorted: list[MaasToken] | None = None

    def after(self, key: Key | None) -> Iterator[MaasToken]:
        """The tokens that were issued after `key`, or all; not for longer than nothing is awaited."""
        tokens = self._made()
        start = bisect_right(tokens, key, key=age) if key else 0
        for at in range(start, len(tokens)):
            yield tokens[at]

    def add(self, token: MaasToken) -> None:
        """There is one more."""
        if self._sorted is not None:
            self._sorted.insert(bisect_left(self._sorted, age(token), key=age), token)

    def remove(self, token: MaasToken) -> None:
        """One of them is gone."""
        if self._sorted is not None:
            del self._sorted[bisect_left(self._sorted, age(token), key=age)]

    def forget(self) -> None:
        """So much may have changed that it is better made again, when it is next asked for."""
        self._sorted = None

    def _made(self) -> list[MaasToken]:
        if self._sorted is None:
            self._sorted = sorted(self._everything(), key=age)
        return self._sorted
