"""Runs checks one after the other, and skips what a failure has made pointless."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from app.cli.kubectl import ForbiddenError, KubectlError, UnauthorizedError
from app.cli.verify.check import Check, Outcome, Result, Status, failed, skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.cli.verify.session import Session

_BLOCKING = (Status.FAIL, Status.SKIP)
_TRUST = "name the CA with --cacert FILE; --insecure accepts any certificate"


def selected(checks: Sequence[Check], families: Iterable[str]) -> list[Check]:
    """The checks of some families, in their order, with the checks that they need; all if none is named."""
    wanted = set(families)
    if not wanted:
        return list(checks)
    chosen: set[str] = set()
    for check in reversed(checks):
        if check.family in wanted or check.id in chosen:
            chosen |= {check.id, *check.needs}
    return [check for check in checks if check.id in chosen]


async def run(
    checks: Iterable[Check],
    session: Session,
    *,
    starting: Callable[[Check], None],
    ended: Callable[[Result], None],
) -> None:
    """Run checks in order; `starting` and `ended` are told as it goes on."""
    results: dict[str, Result] = {}
    for check in checks:
        starting(check)
        begun = time.monotonic()
        blocked = next((results[need] for need in check.needs if _blocks(results[need])), None)
        outcome = await _outcome(check, session) if blocked is None else _because(blocked)
        result = Result(check, outcome, time.monotonic() - begun)
        results[check.id] = result
        ended(result)


def _blocks(result: Result) -> bool:
    return result.outcome.status in _BLOCKING


def _because(blocked: Result) -> Outcome:
    if blocked.outcome.status is Status.SKIP:
        return skipped(blocked.outcome.detail)
    return skipped(f"needs {blocked.check.id}, which failed")


async def _outcome(check: Check, session: Session) -> Outcome:
    try:
        return await check.run(session)
    except ForbiddenError as error:
        return failed(_line(error), "log in as somebody who may look at it, such as a cluster admin")
    except UnauthorizedError as error:
        return failed(_line(error), "log in again: oc login, or another kubeconfig")
    except KubectlError as error:
        return failed(_line(error))
    except httpx.TimeoutException as error:
        return failed(f"no answer in time from {error.request.url}")
    except httpx.HTTPError as error:
        fix = _TRUST if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
        return failed(f"no answer from {error.request.url}: {error}", fix)


def _line(error: KubectlError) -> str:
    return " ".join(str(error).split())
