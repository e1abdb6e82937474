"""Lifetimes as people write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
# Digits are counted before they are turned into a number: a long enough text of them takes forever.
_DURATION: Final = re.compile(r"(?:([0-9]{1,12})d)?(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_MOST: Final = 10**12


class DurationError(ValueError):
    """Not a duration; the message names the accepted forms."""

    def __init__(self) -> None:
        super().__init__('expected a duration such as "4h", "90m", "7d" or "1h30m", or a number of seconds')


def parse_duration(value: object) -> int:
    """Seconds of ``"4h"``, ``"90m"``, ``"7d"``, ``"30s"``, ``"1h30m"``, or of a plain number of seconds.

    The units are days, hours, minutes and seconds, in this order. Whether the lifetime is one that a token
    may have is for the caller to say; zero is a duration too.

    Raises:
        DurationError: `value` is none of these, or more than 10¹² seconds.
    """
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= _MOST:
        raise DurationError
    return seconds


def _seconds(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number: 600.0 is an integer there.
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if not isinstance(value, str) or not value:
        return None
    if _SECONDS.fullmatch(value):
        return int(value)
    if match := _DURATION.fullmatch(value):
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        return sum(int(count) * unit for count, unit in parts if count)
    return None
