"""What people have used: asks Prometheus, and puts the answers together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.identity.user import header_value, of_header_value
from app.usage.amounts import Amounts
from app.usage.errors import UsageNotConfiguredError, UsageTooLargeError, UsersNotRecordedError
from app.usage.promql import (
    ESTIMATED,
    Counter,
    Label,
    Matcher,
    attributed,
    counted,
    newest_sample,
    recorded_before,
    unattributed,
)
from app.usage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.usage.prometheus import Prometheus, Series

MAX_ROWS: Final = 10_000
_MINUTE: Final = 60
_REFUSED: Final = "429"

Key = tuple[str, ...]
"""The values of the labels that amounts are told apart by, in their order."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in a window.

    Attributes:
        window: when.
        complete: whether the platform was recorded at the beginning of the window already. If not, counters
            may have counted before, unseen, and all of that is in here.
        steps: the ends of the steps, with the amounts in each by key; a single one where there are no steps.
    """

    window: Window
    complete: bool
    steps: tuple[tuple[int, Mapping[Key, Amounts]], ...]

    def rows(self) -> dict[Key, Amounts]:
        """The amounts in the whole window, by key, in the order of the keys."""
        sums: defaultdict[Key, Amounts] = defaultdict(Amounts)
        for _, amounts in self.steps:
            for key, part in amounts.items():
                sums[key] += part
        return dict(sorted(sums.items()))


@dataclass(frozen=True, slots=True)
class Minute:
    """What somebody has used in the last minute.

    Attributes:
        as_of: when the gateway's counters were read last, in seconds since the epoch; None if not lately.
        requests: those that were not refused by a limit; None if that is not known.
        tokens: of prompts and completions; None if that is not known.
    """

    as_of: int | None
    requests: int | None
    tokens: int | None


class Meter:
    """Answers what was used.

    Args:
        prometheus: what knows it; None if the service was told of none.
        cache_seconds: windows end at multiples of this, so that answers can be shared.
        time: seconds since the epoch.
    """

    def __init__(
        self, prometheus: Prometheus | None, *, cache_seconds: int, time: Callable[[], float]
    ) -> None:
        self._prometheus = prometheus
        self._grid = max(1, cache_seconds)
        self._time = time

    async def close(self) -> None:
        """End what is on its way."""
        if self._prometheus is not None:
            await self._prometheus.close()

    def window(self, seconds: int, step: int | None = None) -> Window:
        """The window of that length which ends now."""
        return Window(int(self._time()) // self._grid * self._grid, seconds, step)

    async def usage(
        self,
        window: Window,
        *,
        by: Sequence[Label],
        user: str | None = None,
        tier: str | None = None,
        model: str | None = None,
    ) -> Usage:
        """What was used in a window.

        Args:
            window: when.
            by: what keys are made of.
            user: whose; None for everybody's.
            tier: in which tier; None for all.
            model: of which model; None for all.

        Raises:
            UsageNotConfiguredError: there is nothing to ask.
            UsersNotRecordedError: nobody's requests can be told from others'.
            UsageUnavailableError, UsageAnswerError: it cannot be told now.
            UsageTooLargeError: these are more rows than are given at once.
        """
        prometheus = self._configured()
        matchers = _matchers(user, tier, model)
        columns = {
            Counter.REQUESTS: (*by, Label.CODE),
            Counter.TOKENS: (*by, Label.TYPE),
            Counter.UNMETERED: tuple(by),
        }
        *answers, before = await asyncio.gather(
            *(self._counted(counter, matchers, window, names) for counter, names in columns.items()),
            prometheus.instant(recorded_before(window.seconds), window.end),
        )
        known = any(map(len, answers)) if user is not None else any(map(_names_somebody, answers))
        if not known and (user is not None or Label.USER in by):
            await self._check_users_are_recorded(window)
        # Some ten thousand series would hold up everybody.
        steps = await asyncio.to_thread(_collect, dict(zip(columns, answers, strict=True)), by, window)
        return Usage(window, bool(before), steps)

    async def last_minute(self, user: str, *, tokens: bool) -> Minute:
        """What somebody has used in the last minute.

        Args:
            user: who.
            tokens: whether their tokens are asked for.

        Raises:
            UsageNotConfiguredError: there is nothing to ask.
            UsageUnavailableError, UsageAnswerError: it cannot be told now.
        """
        prometheus = self._configured()
        window = self.window(_MINUTE)
        matchers = _matchers(user, None, None)
        newest, requests, used = await asyncio.gather(
            prometheus.instant(newest_sample(), window.end),
            self._counted(Counter.REQUESTS, matchers, window, (Label.CODE,)),
            self._counted(Counter.TOKENS, matchers, window, ()) if tokens else _nothing(),
        )
        as_of = max((round(value) for series in newest for value in series.points.values()), default=None)
        if as_of is None or as_of < window.start:
            # There is nothing to count in the last minute, which is not the same as nothing used.
            return Minute(as_of, None, None)
        through = [series for series in requests if series.labels.get(Label.CODE, "") != _REFUSED]
        return Minute(as_of, _sum(through), _sum(used) if tokens else None)

    def _configured(self) -> Prometheus:
        if self._prometheus is None:
            raise UsageNotConfiguredError
        return self._prometheus

    async def _counted(
        self, counter: Counter, matchers: Sequence[Matcher], window: Window, by: Sequence[Label]
    ) -> Sequence[Series]:
        prometheus = self._configured()
        seconds = window.step or window.seconds
        expression = counted(counter, matchers, window_seconds=seconds, by=by)
        if window.step is None:
            return await prometheus.instant(expression, window.end)
        return await prometheus.range(expression, start=window.start + seconds, end=window.end, step=seconds)

    async def _check_users_are_recorded(self, window: Window) -> None:
        prometheus = self._configured()
        named, nameless = await asyncio.gather(
            prometheus.instant(attributed(window.seconds), window.end),
            prometheus.instant(unattributed(window.seconds), window.end),
        )
        if nameless and not named:
            raise UsersNotRecordedError


async def _nothing() -> Sequence[Series]:
    return ()


def _matchers(user: str | None, tier: str | None, model: str | None) -> list[Matcher]:
    matchers = []
    if user is not None:
        # Envoy has the name as a header carries it, Limitador as it is. With a `%` in it, the name could be
        # what a header carries for somebody else.
        names = (header_value(user),) if "%" in user else (header_value(user), user)
        matchers.append(Matcher(Label.USER, tuple(dict.fromkeys(names))))
    if tier is not None:
        matchers.append(Matcher(Label.TIER, (tier,)))
    if model is not None:
        matchers.append(Matcher(Label.MODEL, (model,)))
    return matchers


def _collect(
    answers: Mapping[Counter, Sequence[Series]], by: Sequence[Label], window: Window
) -> tuple[tuple[int, Mapping[Key, Amounts]], ...]:
    ends = range(
        window.start + (window.step or window.seconds), window.end + 1, window.step or window.seconds
    )
    steps: dict[int, defaultdict[Key, Amounts]] = {end: defaultdict(Amounts) for end in ends}
    keys = set()
    for counter, answer in answers.items():
        for series in answer:
            key = tuple(_shown(label, series.labels.get(label, "")) for label in by)
            keys.add(key)
            if len(keys) > MAX_ROWS:
                raise UsageTooLargeError
            for at, value in series.points.items():
                if at in steps and (count := round(value)):
                    steps[at][key] += _amounts(counter, series.labels, count)
    return tuple(steps.items())


def _amounts(counter: Counter, labels: Mapping[str, str], count: int) -> Amounts:
    exact = ESTIMATED not in labels
    if counter is Counter.UNMETERED:
        return Amounts(unmetered=count, exact=exact)
    if counter is Counter.TOKENS:
        if labels.get(Label.TYPE) == "prompt":
            return Amounts(prompt_tokens=count, exact=exact)
        return Amounts(completion_tokens=count, exact=exact)
    code = labels.get(Label.CODE, "")
    return Amounts(
        requests=count,
        refused=count if code == _REFUSED else 0,
        # Limitador gives no code to what it lets through.
        answered=count if code.startswith("2") or not code else 0,
        exact=exact,
    )


def _shown(label: Label, value: str) -> str:
    return of_header_value(value) if label is Label.USER else value


def _names_somebody(answer: Iterable[Series]) -> bool:
    return any(Label.USER in series.labels for series in answer)


def _sum(answer: Iterable[Series]) -> int:
    return sum(round(value) for series in answer for value in series.points.values())
