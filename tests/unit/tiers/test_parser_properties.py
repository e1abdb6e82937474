from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tiers.errors import MAX_PROBLEMS, MappingError
from app.tiers.mapping import Tier, TierMapping
from app.tiers.parser import parse_mapping

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
LETTERS = st.characters(categories=("L", "N", "P", "S"))
GROUPS = st.text(LETTERS, min_size=1, max_size=256)
RATES = st.integers(1, 1_000_000_000)
KEYS = st.sampled_from(["mapping.yaml", "tiers"])

TIERS = st.builds(
    Tier,
    name=NAMES,
    groups=st.lists(GROUPS, min_size=1, max_size=5, unique=True).map(tuple),
    level=st.none() | st.integers(0, 1_000_000),
    display_name=st.text(LETTERS, min_size=1, max_size=100),
    description=st.text(LETTERS | st.sampled_from(" \n"), max_size=50),
    requests_per_minute=RATES,
    tokens_per_minute=st.none() | RATES,
    max_tokens=st.none() | st.integers(1, 10_000),
)
MAPPINGS = st.lists(TIERS, min_size=1, max_size=6, unique_by=lambda tier: tier.name).map(
    lambda tiers: TierMapping(tuple(tiers))
)

# Text that is nearly a mapping finds more than text that is not.
WORDS = st.sampled_from(
    ["tiers:", "free:", "groups:", "rateLimit:", "name:", "&a ", "*a", "!x ", "? ", "---\n", "...\n"]
)
MARKS = st.sampled_from("  \n\n::--{}[],,\"'a1~|>#<%@\\\t\r\x00\x85é\ufeff\u2028\ud800😀")
TEXTS = st.text() | st.lists(WORDS | MARKS, max_size=40).map("".join)


def fields(tier: Tier) -> dict[str, Any]:
    given = {
        "groups": list(tier.groups),
        "level": tier.level,
        "displayName": tier.display_name,
        "description": tier.description,
        "rateLimit": {
            "requestsPerMinute": tier.requests_per_minute,
            "tokensPerMinute": tier.tokens_per_minute,
        },
        "maxTokens": tier.max_tokens,
    }
    if tier.tokens_per_minute is None:
        given["rateLimit"] = {"requestsPerMinute": tier.requests_per_minute}
    return {name: value for name, value in given.items() if value is not None}


def as_mapping(mapping: TierMapping) -> dict[str, Any]:
    return {"tiers": {tier.name: fields(tier) for tier in mapping.tiers}}


def as_list(mapping: TierMapping) -> list[dict[str, Any]]:
    return [{"name": tier.name, **fields(tier)} for tier in mapping.tiers]


def refusal(data: dict[str, str]) -> MappingError | None:
    try:
        assert parse_mapping(data).tiers
    except MappingError as error:
        return error
    return None


@given(MAPPINGS, st.booleans(), st.booleans())
def test_a_mapping_written_as_yaml_is_read_back(mapping: TierMapping, flow: object, unicode: object) -> None:
    text = yaml.safe_dump(
        as_mapping(mapping), sort_keys=False, default_flow_style=bool(flow), allow_unicode=bool(unicode)
    )

    assert parse_mapping({"mapping.yaml": text}) == mapping


@given(MAPPINGS)
def test_both_forms_mean_the_same(mapping: TierMapping) -> None:
    assert parse_mapping({"tiers": yaml.safe_dump(as_list(mapping))}) == mapping


@settings(max_examples=500)
@given(KEYS, TEXTS)
def test_any_text_is_read_or_refused_with_places_inside_it(key: str, text: str) -> None:
    error = refusal({key: text})

    if error is not None:
        lines = text.split("\n")
        assert 1 <= len(error.problems) <= MAX_PROBLEMS
        for problem in error.problems:
            assert problem.line is not None
            assert problem.column is not None
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert len(str(error).split("\n")) == len(error.problems) + error.cut


@given(MAPPINGS, st.data())
def test_a_file_cut_anywhere_is_read_or_refused(mapping: TierMapping, data: st.DataObject) -> None:
    text = yaml.safe_dump(as_mapping(mapping), sort_keys=False)
    cut = text[: data.draw(st.integers(0, len(text)))]

    assert refusal({"mapping.yaml": cut}) is None or cut != text


@given(st.dictionaries(st.text() | KEYS, TEXTS, max_size=4))
def test_any_data_is_read_or_refused(data: dict[str, str]) -> None:
    error = refusal(data)

    assert error is None or str(error).splitlines()[0]
