"""The fields of one mapping: each method returns a value, or reports what is wrong with it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from app.tiers.document import Mapping, Scalar, Sequence, Unreadable, describe, join, shorten

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.tiers.document import Entry, Node, Report

MAX_GROUPS: Final = 500
MAX_GROUP_LENGTH: Final = 256

# Decimal and nothing else: to YAML 1.1, 010 is eight and 1:30 is ninety.
_WHOLE_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_MOST_DIGITS: Final = 18
# Control characters, line separators, and the marks that make text read in another order than it is stored.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Fields:
    """The fields of a mapping, or of what should be one.

    An unknown field is reported with the nearest known name; its value is not looked at.

    Args:
        report: Takes the problems.
        node: What should be a mapping.
        path: Where it is.
        known: The fields it may have.
        index: The place to name when a field is missing.
        elsewhere: Fields that people look for here, with where they belong.
    """

    def __init__(
        self,
        report: Report,
        node: Node,
        path: str,
        known: Collection[str],
        *,
        index: int,
        elsewhere: Collection[str] = (),
    ) -> None:
        self._report = report
        self._path = path
        self._index = index
        self._is_mapping = isinstance(node, Mapping)
        self._entries: dict[str, Entry] = {}
        self._misspelt: set[str] = set()
        if not isinstance(node, Mapping):
            expected(report, node, path, f"a mapping with {_listed(known)}")
            return
        for name, entry in node.entries.items():
            if name in known:
                self._entries[name] = entry
            else:
                self._report_unknown(name, entry, known, elsewhere)

    def path(self, name: str) -> str:
        """Return the path of a field."""
        return join(self._path, name)

    def get(self, name: str) -> Entry | None:
        """Return a field; None when it is not there."""
        return self._entries.get(name)

    def require(self, name: str, what: str) -> Entry | None:
        """Return a field; report that it is missing when it is not there, not even misspelt."""
        entry = self._entries.get(name)
        if entry is None and self._is_mapping and not {name, name.partition(".")[0]} & self._misspelt:
            self._report.add(self._index, self.path(name), f"is missing: expected {what}")
        return entry

    def whole_number(self, name: str, lowest: int, highest: int) -> int | None:
        """Return a whole number within bounds, both included."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        node = entry.value
        if isinstance(node, Scalar) and node.kind == "int" and _WHOLE_NUMBER.fullmatch(node.text):
            number = int(node.text) if len(node.text) <= _MOST_DIGITS else highest + 1
            if lowest <= number <= highest:
                return number
        expected(self._report, node, self.path(name), f"a whole number from {lowest} to {highest}")
        return None

    def text(self, name: str, longest: int, *, shortest: int = 1, lines: bool = False) -> str | None:
        """Return text of a bounded length without control characters; `lines` allows line breaks."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return _text(self._report, entry.value, self.path(name), longest, shortest=shortest, lines=lines)

    def groups(self) -> tuple[str, ...]:
        """Return the names in the required list `groups`: at least one, none twice."""
        entry = self.require("groups", "a list of group names")
        if entry is None:
            return ()
        return _groups(self._report, entry.value, self.path("groups"))

    def _report_unknown(
        self, name: str, entry: Entry, known: Collection[str], elsewhere: Collection[str]
    ) -> None:
        spellings = {_bare(path.rpartition(".")[2]): path for path in (*known, *elsewhere)}
        # Comparing takes time that grows with the square of the length.
        near = get_close_matches(_bare(name[:64]), spellings, n=1)
        if near:
            meant = spellings[near[0]]
            self._misspelt.add(meant)
            message = f"unknown field; did you mean `{meant}`?"
        else:
            message = f"unknown field; expected only {_listed(known)}"
        self._report.add(entry.index, self.path(name), message)


def expected(report: Report, node: Node, path: str, what: str, hint: str = "") -> None:
    """Report that something else was expected, unless the node was reported already."""
    if not isinstance(node, Unreadable):
        report.add(node.index, path, f"expected {what}, found {describe(node)}{hint}")


def _groups(report: Report, node: Node, path: str) -> tuple[str, ...]:
    if not isinstance(node, Sequence):
        expected(report, node, path, "a list of group names")
        return ()
    if not 1 <= len(node.items) <= MAX_GROUPS:
        report.add(node.index, path, f"expected 1 to {MAX_GROUPS} group names, found {len(node.items)}")
        return ()
    places: dict[str, str] = {}
    for number, item in enumerate(node.items):
        place = f"{path}[{number}]"
        group = _text(report, item, place, MAX_GROUP_LENGTH)
        if group is None:
            continue
        if group != group.strip():
            report.add(item.index, place, f"the group {shorten(group)} begins or ends with a space")
        elif group in places:
            report.add(item.index, place, f"the group {shorten(group)} is given twice, see {places[group]}")
        else:
            places[group] = place
    return tuple(places)


def _text(
    report: Report, node: Node, path: str, longest: int, *, shortest: int = 1, lines: bool = False
) -> str | None:
    if not isinstance(node, Scalar) or node.kind != "str":
        quotable = isinstance(node, Scalar) and node.kind != "null"
        expected(report, node, path, "text", "; put it in quotes if it is meant" if quotable else "")
        return None
    if not shortest <= len(node.text) <= longest:
        report.add(node.index, path, f"expected {shortest} to {longest} characters, found {len(node.text)}")
        return None
    if found := _CONTROL.search(node.text.replace("\n", "") if lines else node.text):
        report.add(node.index, path, f"the control character U+{ord(found[0]):04X} is not allowed")
        return None
    return node.text


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
