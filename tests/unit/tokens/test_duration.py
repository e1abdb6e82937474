from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tokens.duration import DurationError, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("90m", 5_400),
        ("4h", 14_400),
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("1d2h3m4s", 93_784),
        ("1h0m0s", 3_600),
        ("90m30s", 5_430),
        ("007d", 604_800),
        ("4", 4),
        ("3600", 3_600),
        (3_600, 3_600),
        ("0", 0),
        (0, 0),
        ("0s", 0),
        (10**12, 10**12),
        ("999999999999", 999_999_999_999),
    ],
)
def test_what_people_write_is_read(value: str | int, seconds: int) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "4 h",
        " 4h",
        "4h ",
        "4h\n",
        "4H",
        "h",
        "4w",
        "1y",
        "1ms",
        "30m1h",
        "1h1h",
        "1h30",
        "-4h",
        "+4h",
        "-5",
        "1.5h",
        "1e3",
        "0x10",
        "1_000",
        "PT4H",
        "4h!",
        "٤h",
        "٤",
        "∞",
        "null",
        "9" * 13,
        "9" * 13 + "s",
        pytest.param("9" * 400, id="400 digits"),
        pytest.param("9" * 5_000_000, id="five million digits"),
        pytest.param("9" * 5_000_000 + "d", id="five million digits of days"),
        "999999999999d",
        10**12 + 1,
        pytest.param(10**400, id="a number of 401 digits"),
        -1,
        True,
        False,
        None,
        4.5,
        float("nan"),
        b"4h",
        ["4h"],
        {},
    ],
)
def test_anything_else_is_refused_with_the_accepted_forms(value: object) -> None:
    with pytest.raises(DurationError, match='"4h", "90m", "7d" or "1h30m", or a number of seconds') as caught:
        parse_duration(value)
    assert isinstance(caught.value, ValueError)


@given(*[st.integers(0, 1000)] * 4)
def test_the_parts_of_a_duration_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == total
    assert parse_duration(f"{total}s") == parse_duration(str(total)) == parse_duration(total) == total


@given(st.text() | st.text("0123456789dhms -+."))
def test_any_text_is_a_bounded_number_of_seconds_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except DurationError:
        return
    assert 0 <= seconds <= 10**12
    assert text.isascii()
