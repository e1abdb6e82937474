"""The questions to Prometheus, built of typed parts.

Values of labels come from outside (names of users are what an identity provider says), so each is written as
a PromQL string with everything escaped; metrics, names of labels and numbers come from here.
https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals

**How much a counter has grown in a window.** `increase()` is not it: it extrapolates to the edges of the
window, and does not see the first value of a series that begins in it, which may be all that a new user has.
Exactly, for each series, with `before` for `last_over_time(M[1h] offset W)`,

    last_over_time(M[W]) - ((before <= min_over_time(M[W])) or last_over_time(M[W]) * 0)

is the last value in the window less the last one before it. Without one before, in the hour that is looked
through, the counter has begun in the window, from 0. If the one before is more than the least in the window,
the counter has begun anew at the edge of the window, from 0 as well. Where it has begun anew inside the
window (`resets(M[W]) > 0`), what it had reached before is not known to the last request, and `increase()`
estimates it; such a part has the label `estimated="true"`. Windows in a row add up: what is the last value in
one is the one before in the next.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOOKBACK_SECONDS: Final = 3600
ESTIMATED: Final = "estimated"
"""The label that is `true` for what is not counted but estimated."""


class Counter(StrEnum):
    """What is counted."""

    REQUESTS = "maas_gateway_requests_total"
    TOKENS = "maas_gateway_tokens_total"
    UNMETERED = "maas_gateway_unmetered_total"


class Label(StrEnum):
    """What it is counted by."""

    USER = "user"
    TIER = "tier"
    MODEL = "model"
    CODE = "code"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label and the values that it may have.

    Attributes:
        label: which.
        values: at least one; the empty value is that of series without the label.
    """

    label: Label
    values: tuple[str, ...]

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.label}={_string(self.values[0])}"
        return f"{self.label}=~{_string('|'.join(map(_literally, self.values)))}"


def counted(
    counter: Counter, matchers: Iterable[Matcher], *, window_seconds: int, by: Iterable[Label]
) -> str:
    """How much a counter has grown in the window that ends at the time of the question; see above.

    Args:
        counter: which.
        matchers: which of its series.
        window_seconds: length of the window.
        by: what the answer tells apart, beside `ESTIMATED`.
    """
    series = counter + _selection(matchers)
    window = f"{series}[{window_seconds}s]"
    last = f"last_over_time({window})"
    before = f"last_over_time({series}[{_LOOKBACK_SECONDS}s] offset {window_seconds}s)"
    restarted = f"(resets({window}) > 0)"
    exact = f"({last} - (({before} <= min_over_time({window})) or {last} * 0) unless {restarted})"
    estimate = f'label_replace(increase({window}) and {restarted}, "{ESTIMATED}", "true", "", "")'
    return f"sum by ({', '.join((*by, ESTIMATED))}) ({exact} or {estimate})"


def newest_sample() -> str:
    """When the gateway's counters were read last, in seconds since the epoch; nothing after five minutes."""
    return f"max(timestamp({Counter.REQUESTS}))"


def recorded_before(window_seconds: int) -> str:
    """Something, if anything of the platform was recorded in the hour before the window; else nothing."""
    hour = f"[{_LOOKBACK_SECONDS}s] offset {window_seconds}s"
    return " or ".join(
        f"count(last_over_time({name}{hour}))" for name in (Counter.REQUESTS, "maas_mapping_valid")
    )


def attributed(window_seconds: int) -> str:
    """Something, if any request in the window was recorded with its user; else nothing."""
    return f'count(last_over_time({Counter.REQUESTS}{{{Label.USER}!=""}}[{window_seconds}s]))'


def unattributed(window_seconds: int) -> str:
    """Something, if any request in the window got through and was recorded without its user; else nothing.

    Who was refused may well have no name. Some counters only have a code for what was refused.
    """
    selection = f'{{{Label.USER}="",{Label.CODE}!~"[045].*"}}'
    return f"count(last_over_time({Counter.REQUESTS}{selection}[{window_seconds}s]))"


def _selection(matchers: Iterable[Matcher]) -> str:
    written = ",".join(map(str, matchers))
    return f"{{{written}}}" if written else ""


def _string(value: str) -> str:
    # JSON escapes quotes, backslashes and control characters, all in ways that PromQL reads the same.
    return json.dumps(value, ensure_ascii=False)


def _literally(value: str) -> str:
    """A regular expression (RE2) that matches this text and no other."""
    return "".join(
        character if character.isascii() and character.isalnum() else f"\\x{{{ord(character):x}}}"
        for character in value
    )
