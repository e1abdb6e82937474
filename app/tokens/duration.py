"""Lifetimes as people write them."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
_SECONDS = re.compile(r"\d{1,12}")
_MOST = 10**12


class DurationError(ValueError):
    """Not a duration; the message names the accepted forms."""

    def __init__(self) -> None:
        super().__init__('expected a duration such as "4h", "90m", "7d" or "1h30m", or a number of seconds')


def parse_duration(value: object) -> int:
    """Seconds of ``"4h"``, ``"90m"``, ``"7d"``, ``"1h30m"``, or of a plain number of seconds.

    Raises:
        DurationError: `value` is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= _MOST:
            return value
        raise DurationError
    if not isinstance(value, str) or not value.isascii():
        raise DurationError
    if _SECONDS.fullmatch(value):
        return int(value)
    match = _DURATION.fullmatch(value)
    if not value or match is None:
        raise DurationError
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    return sum(int(count) * unit for count, unit in parts if count)
