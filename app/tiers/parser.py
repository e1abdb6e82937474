"""Reads the tier mapping from the ConfigMap `tier-to-group-mapping`.

Two forms are read, each under a key of its own. `mapping.yaml` holds a mapping:

    tiers:
      free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}

The platform's limits are made from it, so `rateLimit.requestsPerMinute` is required there. `tiers` holds the
list form of the Open Data Hub project, where limits are policies written by hand: `rateLimit` is optional.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from app.tiers.document import Mapping, Report, Scalar, Sequence, join, read_document
from app.tiers.errors import MappingError, Problem
from app.tiers.fields import Fields, expected
from app.tiers.mapping import Tier, TierMapping

if TYPE_CHECKING:
    from collections import abc

    from app.tiers.document import Node

MAPPING_KEY: Final = "mapping.yaml"
LIST_KEY: Final = "tiers"

MAX_TIERS: Final = 100
MAX_LEVEL: Final = 1_000_000
MAX_RATE: Final = 1_000_000_000
"""The most requests or tokens per minute: fits the 32-bit counters of the limiters."""
MAX_LIVE_TOKENS: Final = 10_000
MAX_DISPLAY_NAME: Final = 100
MAX_DESCRIPTION: Final = 1000

_FORMS: Final = {MAPPING_KEY: "a mapping `tiers:` of tier names", LIST_KEY: "a list of tiers"}
_LIST_HINT: Final = f"; a list is read from the key `{LIST_KEY}`"
_MAPPING_HINT: Final = f"; a mapping is read from the key `{MAPPING_KEY}`"
_TIER_FIELDS: Final = ("groups", "rateLimit", "level", "displayName", "description", "maxTokens")
_RATE_FIELDS: Final = ("requestsPerMinute", "tokensPerMinute")
_RATE: Final = "the requests that one owner may send in a minute"
_RATE_PATHS: Final = tuple(f"rateLimit.{name}" for name in _RATE_FIELDS)
# The form of a label value and of a DNS label that Kubernetes calls DNS-1123 (RFC 1123, section 2.1).
_TIER_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TIER_NAME_RULE: Final = "lower-case letters, digits and `-`, at most 63, with a letter or digit at both ends"


def parse_mapping(data: abc.Mapping[str, str] | None) -> TierMapping:
    """Return the tiers that the `data` of the ConfigMap describes.

    Raises:
        MappingError: The data leaves a doubt; says everything that is wrong with it.
    """
    key, text = _choose(data or {})
    report = Report(key, text)
    root = read_document(report, text)
    if root is None or (isinstance(root, Scalar) and root.kind == "null"):
        report.stop(0, "", f"expected {_FORMS[key]}, found nothing")
    tiers = _read_mapping(report, root) if key == MAPPING_KEY else _read_list(report, root)
    report.check()
    return TierMapping(tuple(tiers))


def _choose(data: abc.Mapping[str, str]) -> tuple[str, str]:
    present = [key for key in _FORMS if key in data]
    if len(present) == 1:
        # Some editors put a byte order mark before the text.
        return present[0], data[present[0]].removeprefix("\ufeff")
    if present:
        message = f"the keys `{MAPPING_KEY}` and `{LIST_KEY}` are both there: remove one of them"
        raise MappingError([Problem(None, None, "", message)])
    keys = sorted(data)[:5]
    found = ", ".join(f"`{key}`" for key in keys) or "no key at all"
    near = get_close_matches(MAPPING_KEY, keys, n=1)
    hint = f"; rename `{near[0]}` if it is the one" if near else ""
    message = f"the ConfigMap needs the key `{MAPPING_KEY}` (or `{LIST_KEY}`), found {found}{hint}"
    raise MappingError([Problem(None, None, "", message)])


def _read_mapping(report: Report, root: Node) -> list[Tier]:
    if isinstance(root, Sequence):
        expected(report, root, "", _FORMS[MAPPING_KEY], _LIST_HINT)
        return []
    document = Fields(report, root, "", ("tiers",), index=root.index).require(
        "tiers", "a mapping of tier names"
    )
    if document is None:
        return []
    node = document.value
    if not isinstance(node, Mapping):
        hint = _LIST_HINT if isinstance(node, Sequence) else ""
        expected(report, node, "tiers", "a mapping of tier names", hint)
        return []
    _check_count(report, node, len(node.entries))
    tiers = []
    for name, entry in node.entries.items():
        path = join("tiers", name)
        _check_name(report, entry.index, path, name)
        fields = Fields(report, entry.value, path, _TIER_FIELDS, index=entry.index, elsewhere=_RATE_PATHS)
        rates = _rates(report, fields)
        if rates is None:
            fields.require("rateLimit.requestsPerMinute", _RATE)
        else:
            rates.require("requestsPerMinute", _RATE)
        tiers.append(_tier(name, fields, rates))
    return tiers


def _read_list(report: Report, root: Node) -> list[Tier]:
    if not isinstance(root, Sequence):
        hint = _MAPPING_HINT if isinstance(root, Mapping) else ""
        expected(report, root, "", _FORMS[LIST_KEY], hint)
        return []
    _check_count(report, root, len(root.items))
    tiers = []
    places: dict[str, str] = {}
    for number, node in enumerate(root.items):
        path = f"tiers[{number}]"
        fields = Fields(report, node, path, ("name", *_TIER_FIELDS), index=node.index, elsewhere=_RATE_PATHS)
        named = fields.require("name", "the name of the tier")
        name = fields.text("name", MAX_DESCRIPTION)
        if named is not None and name is not None:
            _check_name(report, named.value.index, f"{path}.name", name)
            if name in places:
                report.add(named.value.index, f"{path}.name", f"the name is given twice, see {places[name]}")
            places[name] = path
        tiers.append(_tier(name or "", fields, _rates(report, fields)))
    return tiers


def _tier(name: str, fields: Fields, rates: Fields | None) -> Tier:
    return Tier(
        name,
        fields.groups(),
        level=fields.whole_number("level", 0, MAX_LEVEL),
        display_name=fields.text("displayName", MAX_DISPLAY_NAME) or name,
        description=fields.text("description", MAX_DESCRIPTION, shortest=0, lines=True) or "",
        requests_per_minute=rates.whole_number("requestsPerMinute", 1, MAX_RATE) if rates else None,
        tokens_per_minute=rates.whole_number("tokensPerMinute", 1, MAX_RATE) if rates else None,
        max_tokens=fields.whole_number("maxTokens", 1, MAX_LIVE_TOKENS),
    )


def _rates(report: Report, fields: Fields) -> Fields | None:
    entry = fields.get("rateLimit")
    if entry is None:
        return None
    return Fields(report, entry.value, fields.path("rateLimit"), _RATE_FIELDS, index=entry.index)


def _check_count(report: Report, node: Node, count: int) -> None:
    if not 1 <= count <= MAX_TIERS:
        report.stop(node.index, "tiers", f"expected 1 to {MAX_TIERS} tiers, found {count}")


def _check_name(report: Report, index: int, path: str, name: str) -> None:
    if not _TIER_NAME.fullmatch(name):
        report.add(index, path, f"not a name for a tier: expected {_TIER_NAME_RULE}")
