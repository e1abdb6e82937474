"""The table is read back as it was by every program, and run by none."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.usage_csv import AMOUNTS, prefers_csv, table

ROW = {**dict.fromkeys(AMOUNTS, 1), "cost": "0.5", "exact": True}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_name_is_read_back_and_begins_no_formula(name: str) -> None:
    text = table(["user"], "USD", [{**ROW, "user": name}]).decode()
    header, line = csv.reader(io.StringIO(text, newline=""))
    assert header == ["user", *AMOUNTS, "currency"]
    assert line[1:] == ["1", "1", "1", "1", "1", "0.5", "true", "USD"]
    assert line[0].removeprefix("'") == name or line[0] == f"'{name}"
    assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert text.startswith(",".join(header) + "\r\n")
    assert text.endswith("\r\n")


def test_what_is_not_known_is_empty() -> None:
    text = table([], "", [{**ROW, "cost": None, "exact": False}]).decode()
    assert text.splitlines()[1] == "1,1,1,1,1,,false,"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("text/csv", True), ("Text/CSV; q=0.9", True), ("application/json, text/csv", True), ("*/*", False),
     ("text/*", False), ("", False), ("application/json", False)],
)  # fmt: skip
def test_csv_is_for_who_names_it(accept: str, *, expected: bool) -> None:
    assert prefers_csv(accept) is expected
