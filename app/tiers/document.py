"""One YAML document as nodes that know their place.

Stricter than YAML, so that a file means what it seems to mean: no key twice, no aliases, no tags, no second
document, and keys are text. Everything is bounded: the events of the parser are taken one at a time and none
is asked for after a limit is passed, so that hostile text costs little time and no deep recursion.
"""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import yaml
from yaml.resolver import Resolver

from app.tiers.errors import MAX_PROBLEMS, MappingError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml._yaml import Mark as _CMark

MAX_BYTES: Final = 1024 * 1024
"""What a ConfigMap can hold: https://kubernetes.io/docs/concepts/configuration/configmap/"""
MAX_NODES: Final = 60_000
MAX_DEPTH: Final = 8

# libyaml where PyYAML was built with it: several times faster, with the same events.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML allows (https://yaml.org/spec/1.2.2/#51-character-set), less a byte order mark inside the text.
_NOT_ALLOWED: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
_SHOWN: Final = 40
_KINDS: Final = {
    "str": "the text",
    "bool": "the boolean",
    "int": "the number",
    "float": "the number",
    "timestamp": "the date",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written; `kind` is its type in YAML 1.1: `str`, `int`, `bool`, `null`, …."""

    index: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    index: int
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, its place, and its value."""

    index: int
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping with every key once."""

    index: int
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that was reported already: nobody needs to hear of it again."""

    index: int


Node = Scalar | Sequence | Mapping | Unreadable


class Report:
    """Collects what is wrong with one text.

    Args:
        key: The key of the ConfigMap that holds the text.
        text: The text itself, to tell lines and columns.
    """

    def __init__(self, key: str, text: str) -> None:
        self._key = key
        self._text = text
        self._problems: list[Problem] = []

    def add(self, index: int, path: str, message: str) -> None:
        """Note a problem at a character of the text.

        Raises:
            MappingError: It was one too many: reading stops.
        """
        line, column = self.place(index)
        self._problems.append(Problem(line, column, path, message))
        if len(self._problems) == MAX_PROBLEMS:
            raise self._error(cut=True)

    def stop(self, index: int, path: str, message: str) -> NoReturn:
        """Note a problem that makes the rest of the text unreadable.

        Raises:
            MappingError: Always.
        """
        self.add(index, path, message)
        raise self._error()

    def check(self) -> None:
        """Do nothing when nothing is wrong.

        Raises:
            MappingError: Something is.
        """
        if self._problems:
            raise self._error()

    def place(self, index: int) -> tuple[int, int]:
        """Return the line and the column of a character, both counted from 1."""
        index = min(index, len(self._text))
        start = self._text.rfind("\n", 0, index) + 1
        return self._text.count("\n", 0, start) + 1, index - start + 1

    def _error(self, *, cut: bool = False) -> MappingError:
        problems = sorted(self._problems, key=lambda problem: (problem.line or 0, problem.column or 0))
        return MappingError(problems, key=self._key, cut=cut)


def read_document(report: Report, text: str) -> Node | None:
    """Return the only document of a text; None when there is none.

    Problems that leave the rest readable are added to the report, and `Unreadable` stands in their place.

    Raises:
        MappingError: The text is too large or too deep, or not YAML.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        report.stop(0, "", f"expected at most {MAX_BYTES} bytes")
    if found := _NOT_ALLOWED.search(text):
        report.stop(found.start(), "", f"the character U+{ord(found[0]):04X} is not allowed in YAML")
    events = yaml.parse(text, Loader=_LOADER)
    try:
        with closing(events):  # type: ignore[type-var]  # The stubs hide that it is a generator.
            return _Reader(report, events).document()
    except yaml.MarkedYAMLError as error:
        _stop_at_syntax_error(report, text, error)


def describe(node: Node) -> str:
    """Return what a node is, in words for a message."""
    if isinstance(node, Scalar):
        if node.kind == "null":
            return "nothing"
        quoted = shorten(node.text) if node.kind == "str" else node.text[:_SHOWN]
        return f"{_KINDS.get(node.kind, 'the text')} {quoted}"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def shorten(text: str) -> str:
    """Return text in quotes on one line of a bounded length."""
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…", ensure_ascii=False)


def join(path: str, name: str) -> str:
    """Return the path of a field below another one."""
    name = name if _PLAIN_NAME.fullmatch(name) else shorten(name)
    return f"{path}.{name}" if path else name


class _Reader:
    """Makes nodes of events."""

    def __init__(self, report: Report, events: Iterator[yaml.Event]) -> None:
        self._report = report
        self._events = events
        self._resolver = Resolver()
        self._nodes = 0

    def document(self) -> Node | None:
        """Return the document; see `read_document`."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    index = _index(event.start_mark)
                    self._report.stop(
                        index, "", "expected one document, but a second one begins here (`---`)"
                    )
                root = self._node(next(self._events), "", 0)
        return root

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        index = _index(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._report.stop(index, path, f"expected at most {MAX_NODES} values in all")
        if isinstance(event, yaml.AliasEvent):
            self._report.add(index, path, "aliases (`*…`) are not read: repeat the value")
            return Unreadable(index)
        if depth > MAX_DEPTH:
            self._report.stop(index, path, f"lists and mappings are nested more than {MAX_DEPTH} deep")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(index, event.value, self._kind(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(index, self._items(path, depth + 1))
        else:
            node = Mapping(index, self._entries(path, depth + 1))
        if getattr(event, "tag", None) is not None:
            self._report.add(index, path, "tags (`!…`) are not read: leave the tag out, or quote the text")
            return Unreadable(index)
        return node

    def _items(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth))
        return items

    def _entries(self, path: str, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, path, depth)
            if not isinstance(key, Scalar):
                self._node(next(self._events), path, depth)
                if not isinstance(key, Unreadable):
                    self._report.add(key.index, path, f"a key must be text, found {describe(key)}")
                continue
            place = join(path, key.text)
            value = self._node(next(self._events), place, depth)
            if key.kind != "str":
                message = f"a key must be text, found {describe(key)}; put it in quotes if it is meant"
                self._report.add(key.index, path, message)
            elif key.text in entries:
                line, _ = self._report.place(entries[key.text].index)
                self._report.add(key.index, place, f"is given twice; the first time in line {line}")
            else:
                entries[key.text] = Entry(key.index, value)
        return entries

    def _kind(self, event: yaml.ScalarEvent) -> str:
        tag: str = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        return tag.rpartition(":")[2]


def _stop_at_syntax_error(report: Report, text: str, error: yaml.MarkedYAMLError) -> NoReturn:
    index = _index(error.problem_mark or error.context_mark)
    if text[index : index + 1] == "\t":
        report.stop(index, "", "not valid YAML: a tab cannot indent a line, use spaces")
    context = error.context or ""
    if context and error.context_mark:
        context += f" that begins in line {report.place(error.context_mark.index)[0]}, "
    report.stop(index, "", f"not valid YAML: {context}{error.problem}")


def _index(mark: yaml.error.Mark | _CMark | None) -> int:
    return 0 if mark is None else mark.index
