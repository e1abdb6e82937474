"""What a check is, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from app.cli.verify.session import Session


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105  # no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found.

    Attributes:
        status: how it ended.
        detail: what was found, in a sentence.
        fix: what to do about it; empty for what the check says in general.
    """

    status: Status
    detail: str
    fix: str = ""


def passed(detail: str) -> Outcome:
    """All is as it should be."""
    return Outcome(Status.PASS, detail)


def warned(detail: str, fix: str = "") -> Outcome:
    """It works, and somebody should look at it."""
    return Outcome(Status.WARN, detail, fix)


def failed(detail: str, fix: str = "") -> Outcome:
    """It does not work, or it could not be found out whether it does."""
    return Outcome(Status.FAIL, detail, fix)


def skipped(detail: str) -> Outcome:
    """There was nothing to check here; the detail says why."""
    return Outcome(Status.SKIP, detail)


def verdict(problems: Iterable[str], otherwise: str, *, fix: str = "") -> Outcome:
    """Failed with all of `problems` if there are any; passed with `otherwise` if not."""
    found = "; ".join(problems)
    return failed(found, fix) if found else passed(otherwise)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so.

    Attributes:
        id: `<family>.<name>`.
        asks: the question, as docs/checks.md has it too.
        how: what it reads or sends.
        fix: what to do when it fails; `{kubectl}`, `{namespace}` and `{gateway}` stand for the real ones.
        run: finds out. It may raise a KubectlError or an httpx.HTTPError, which is a failure.
        needs: ids of checks that come before; unless they passed, this one is skipped.
    """

    id: str
    asks: str
    how: str
    fix: str
    run: Callable[[Session], Awaitable[Outcome]]
    needs: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The part of the platform that it looks at."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """A check and its outcome.

    Attributes:
        seconds: how long it took.
    """

    check: Check
    outcome: Outcome
    seconds: float
