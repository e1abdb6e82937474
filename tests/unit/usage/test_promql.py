"""Whatever a label's value is, a question is about that value, and asks nothing else."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from app.usage.promql import Counter, Label, Matcher, counted

# What is nearly PromQL finds more than what is not.
WORDS = st.sampled_from(
    ['"', "\\", "\n", "{", "}", "=", "~", "[1m]", "` or ", "'", '"} or {user=~"', ".*", "|", "%"]
)
VALUES = st.text() | st.lists(WORDS | st.characters(codec="utf-8"), max_size=20).map("".join)
# https://go.dev/ref/spec#Interpreted_string_literals, which PromQL follows.
STRING = re.compile(r'"(?:[^"\\\n]|\\(?:[abfnrtv\\"]|x[0-9a-f]{2}|u[0-9a-f]{4}))*"')


def strings(expression: str) -> list[str]:
    """What its string literals stand for."""
    return [json.loads(found) for found in STRING.findall(expression)]


@given(VALUES)
def test_any_value_stays_within_its_string(value: str) -> None:
    def question(value: str) -> str:
        matchers = [Matcher(Label.USER, (value,)), Matcher(Label.MODEL, (value,))]
        return counted(Counter.REQUESTS, matchers, window_seconds=60, by=[Label.CODE])

    expression = question(value)
    # With its strings taken out it is what it is for any other value.
    assert STRING.sub('""', expression) == STRING.sub('""', question("alice"))
    assert strings(expression).count(value) >= 2


@given(st.lists(VALUES, min_size=2, max_size=3, unique=True), VALUES)
def test_several_values_match_these_and_no_others(values: list[str], other: str) -> None:
    matcher = str(Matcher(Label.USER, tuple(values)))
    assert matcher.startswith('user=~"')
    (pattern,) = strings(matcher)
    # Nothing in it has a meaning for RE2 but the marks of alternatives and of characters by number.
    assert re.fullmatch(r"(?:[A-Za-z0-9|]|\\x\{[0-9a-f]+\})*", pattern)
    matched = {
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), part)
        for part in pattern.split("|")
    }
    assert matched == set(values)
    assert (other in matched) == (other in values)
