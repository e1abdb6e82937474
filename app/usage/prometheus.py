"""Asks Prometheus, or Thanos, by its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/.

Nothing it answers is trusted to be well-formed, small or complete: a part of the truth would be a wrong bill.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from app.usage.credentials import Credentials
from app.usage.errors import UsageAnswerError, UsageTooLargeError, UsageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.settings import UsageSettings

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
# Larger answers are given to those who wait for them, and not kept.
_KEPT_SERIES: Final = 2000
_KEPT_ANSWERS: Final = 500
# GET, because OpenShift's Thanos Querier lets those who may view metrics do nothing else.
_METHOD: Final = "GET"
_REFUSED: Final = (401, 403)
_BUSY: Final = 429


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: its labels; one without a value is left out.
        points: its values by their times, in seconds since the epoch.
    """

    labels: Mapping[str, str]
    points: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class _Question:
    path: str
    parameters: tuple[tuple[str, str], ...]


class _Result(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class _Data(msgspec.Struct):
    result: list[_Result]
    resultType: str  # noqa: N815  # on the wire


class _Answer(msgspec.Struct):
    status: str
    data: _Data
    warnings: list[str] = []


_ANSWER: Final = msgspec.json.Decoder(_Answer)


class Prometheus:
    """Asks each question once at a time, and remembers the answer for a moment.

    Args:
        settings: where it is, and how much may be asked of it.
        transport: in place of the network.
    """

    def __init__(self, settings: UsageSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._credentials = Credentials(settings.token_file, settings.ca_file)
        self._client = httpx.AsyncClient(
            base_url=settings.prometheus_url or "",
            timeout=settings.timeout_seconds,
            verify=self._credentials.trust,
            transport=transport,
            # A token must not follow to wherever an answer points, nor go to a proxy of the environment.
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=settings.concurrency),
        )
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._asked: dict[_Question, asyncio.Task[Sequence[Series]]] = {}

    async def close(self) -> None:
        """End what is on its way, and the connections."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def instant(self, expression: str, at: int) -> Sequence[Series]:
        """The value of an expression at a time, in seconds since the epoch: series of one point each.

        Raises:
            UsageUnavailableError: there is no answer in time.
            UsageAnswerError: there is one that cannot be used.
            UsageTooLargeError: there is one that is too large.
        """
        return await self._ask("query", query=expression, time=str(at))

    async def range(self, expression: str, *, start: int, end: int, step: int) -> Sequence[Series]:
        """The values of an expression at `start` and every `step` seconds from there to `end`.

        Raises:
            UsageUnavailableError: there is no answer in time.
            UsageAnswerError: there is one that cannot be used.
            UsageTooLargeError: there is one that is too large.
        """
        return await self._ask(
            "query_range", query=expression, start=str(start), end=str(end), step=str(step)
        )

    async def _ask(self, path: str, **parameters: str) -> Sequence[Series]:
        question = _Question(path, tuple(parameters.items()))
        task = self._asked.get(question)
        if task is None:
            task = asyncio.create_task(self._fetch(question), name="question to Prometheus")
            self._asked[question] = task
            task.add_done_callback(lambda done: self._forget(question, done))
        # One asker who goes away does not take the answer from the others.
        return await asyncio.shield(task)

    def _forget(self, question: _Question, task: asyncio.Task[Sequence[Series]]) -> None:
        """Forget a question that was answered, in a moment or at once."""

        def forget() -> None:
            if self._asked.get(question) is task:
                del self._asked[question]

        failed = task.cancelled() or task.exception() is not None
        if failed or len(task.result()) > _KEPT_SERIES or len(self._asked) > _KEPT_ANSWERS:
            forget()
        else:
            task.get_loop().call_later(self._settings.cache_seconds, forget)

    async def _fetch(self, question: _Question) -> Sequence[Series]:
        seconds = self._settings.timeout_seconds
        parameters = {
            **dict(question.parameters),
            "timeout": f"{math.ceil(seconds)}s",
            "partial_response": "false",  # For Thanos, which else leaves out what is away.
        }
        try:
            async with asyncio.timeout(seconds), self._gate:
                headers = await self._credentials.headers()
                body = await self._read(f"api/v1/{question.path}", parameters, headers)
                # Megabytes of JSON would hold up everybody.
                return await asyncio.to_thread(_decode, body)
        except TimeoutError:
            logger.warning("prometheus: no answer within %g seconds", seconds)
            raise UsageUnavailableError(f"no answer within {seconds:g} seconds") from None
        except httpx.HTTPError as error:
            logger.warning("prometheus: %s: %s", type(error).__name__, error)
            raise UsageUnavailableError(str(error)) from error
        except (UsageAnswerError, UsageUnavailableError, UsageTooLargeError) as error:
            logger.warning("prometheus: %s", error)
            raise

    async def _read(self, path: str, parameters: dict[str, str], headers: dict[str, str]) -> bytes:
        async with self._client.stream(_METHOD, path, params=parameters, headers=headers) as response:
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise UsageTooLargeError
            body = b"".join(chunks)
            _check(response.status_code, body)
            return body


def _check(status: int, body: bytes) -> None:
    """Raise what a status stands for."""
    if status == httpx.codes.OK:
        return
    said = body[:300].decode(errors="replace")
    if b"too many samples" in body:
        raise UsageTooLargeError
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == _BUSY:
        raise UsageUnavailableError(f"it answers {status}: {said}")
    why = "it does not accept the service's token" if status in _REFUSED else "it answers"
    raise UsageAnswerError(f"{why} ({status}): {said}")


def _decode(body: bytes) -> Sequence[Series]:
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageAnswerError(f"the answer is not what the API promises: {error}") from None
    if answer.status != "success" or answer.data.resultType not in ("vector", "matrix"):
        raise UsageAnswerError(f"the answer is {answer.status} with a {answer.data.resultType}")
    # Before they had a place of their own, hints about the expression came as warnings.
    incomplete = [warning for warning in answer.warnings if not warning.startswith("PromQL ")]
    if incomplete:
        raise UsageAnswerError(f"the answer is not complete: {incomplete[0][:300]}")
    return [_series(result) for result in answer.data.result]


def _series(result: _Result) -> Series:
    points = {}
    for at, text in result.values or ([result.value] if result.value else []):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not math.isfinite(at):
            raise UsageAnswerError(f"there is no number in the answer: {text[:40]}")
        points[round(at)] = value
    return Series({label: value for label, value in result.metric.items() if value}, points)
