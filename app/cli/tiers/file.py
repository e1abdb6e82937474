"""The tier mapping in a file: alone, or in its ConfigMap, among other objects or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from app.tiers.document import MAX_BYTES
from app.tiers.errors import MappingError, Problem
from app.tiers.parser import LIST_KEY, MAPPING_KEY, parse_mapping

if TYPE_CHECKING:
    from app.tiers.mapping import TierMapping


class UnreadableFileError(Exception):
    """The mapping cannot be read; `str()` has one line for each thing that is wrong, with its place."""


@dataclass(frozen=True)
class _Text:
    """A text within the file, and where it begins there."""

    value: str
    lines: int = 0
    columns: int = 0


def read_mapping(content: bytes, name: str, config_map: str) -> TierMapping:
    """The mapping in a file.

    Args:
        content: of the file.
        name: of the file, for messages.
        config_map: name of the ConfigMap that holds it, if one does.

    Raises:
        UnreadableFileError: it leaves a doubt; says everything that is wrong with it.
    """
    if len(content) > 2 * MAX_BYTES:
        raise UnreadableFileError(f"{name}: more than {2 * MAX_BYTES} bytes, which no ConfigMap can hold")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{name}: not UTF-8, at byte {error.start + 1}") from None
    texts = _texts(text, name, config_map)
    try:
        return parse_mapping({key: found.value for key, found in texts.items()})
    except MappingError as error:
        place = texts.get(error.key or "", _Text(""))
        lines = [_line(name, problem, place) for problem in error.problems]
        lines += [f"{name}: reading stopped here; there may be more"] if error.cut else []
        raise UnreadableFileError("\n".join(lines)) from None


def _line(name: str, problem: Problem, text: _Text) -> str:
    what = f"{problem.path}: {problem.message}" if problem.path else problem.message
    if problem.line is None or problem.column is None:
        return f"{name}: {what}"
    return f"{name}:{problem.line + text.lines}:{problem.column + text.columns}: {what}"


def _texts(text: str, name: str, config_map: str) -> dict[str, _Text]:
    """What would be the data of the ConfigMap."""
    try:
        roots = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        # What is wrong, the mapping's own reader says best.
        return {MAPPING_KEY: _Text(text)}
    objects = [root for root in roots if _value(root, "kind") is not None]
    if not objects:
        is_list = bool(roots) and isinstance(roots[0], yaml.SequenceNode)
        return {LIST_KEY if is_list else MAPPING_KEY: _Text(text)}
    for root in objects:
        if _value(root, "kind") == "ConfigMap" and _value(_child(root, "metadata"), "name") == config_map:
            return _data(_child(root, "data"), text)
    kinds = ", ".join(sorted({str(_value(root, "kind")) for root in objects}))
    raise UnreadableFileError(f"{name}: no ConfigMap {config_map} is in it, only: {kinds}")


def _data(node: yaml.Node | None, text: str) -> dict[str, _Text]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {
        key.value: _placed(value, text)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }


def _placed(node: yaml.ScalarNode, text: str) -> _Text:
    """The text of a key; behind `|` its lines are those of the file, indented."""
    if node.style != "|":
        return _Text(node.value, node.start_mark.line, node.start_mark.column)
    lines = node.start_mark.line + 1
    first = next((number for number, line in enumerate(node.value.splitlines()) if line.strip()), None)
    if first is None:
        return _Text(node.value, lines)
    indented = text.splitlines()[lines + first]
    return _Text(node.value, lines, len(indented) - len(node.value.splitlines()[first]))


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _value(node: yaml.Node | None, name: str) -> str | None:
    child = _child(node, name)
    return child.value if isinstance(child, yaml.ScalarNode) else None
