"""Usage as a table that other programs read: RFC 4180, with a header."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
AMOUNTS: Final = ("requests", "refused", "promptTokens", "completionTokens", "unmetered", "cost", "exact")

# A spreadsheet takes what begins so for a formula, and runs it (CWE-1236); the last is the mark against that.
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def prefers_csv(accept: str) -> bool:
    """Whether an ``Accept`` header names CSV; nobody who does not want it does."""
    return any(part.partition(";")[0].strip().lower() == "text/csv" for part in accept.split(","))


def table(by: Sequence[str], currency: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows, one line each.

    Text that a spreadsheet could take for a formula gets an apostrophe in front, and so does text that begins
    with one: whoever takes one away has the text as it was.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((*by, *AMOUNTS, "currency"))
    for row in rows:
        amounts = (_cell(row[name]) for name in AMOUNTS)
        writer.writerow((*(_text(row[name]) for name in by), *amounts, _text(currency)))
    return out.getvalue().encode()


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_DANGEROUS) else value


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
