"""How a policy stands towards the mapping, in words for people."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from app.reconcilers.runs import RunObserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.kube.errors import FieldConflict, KubeError
    from app.limits.policy import Wanted

logger = logging.getLogger(__name__)

# What a Kubernetes Event can show at a glance.
_SHOWN = 5


class Warn(Protocol):
    """Writes a Kubernetes Event of type Warning."""

    async def __call__(self, reason: str, message: str) -> None:
        """Write it; nothing is raised where that fails."""


class LimitsObserver(RunObserver, Protocol):
    """Is told how policies stand, for metrics."""

    def observe_limits(self, policy: str, *, in_step: bool | None, contested: int) -> None:
        """Take note of how a policy stands; with `in_step` None, that there is nothing to say."""

    def forget_limits(self, policy: str) -> None:
        """Say nothing of a policy any more."""

    def count_limits_written(self, policy: str) -> None:
        """Take note that limits were written into a policy."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy stands.

    Attributes:
        in_step: whether its limits are those of the mapping; None where that is not asked.
        message: the same for people.
        reason: of the Kubernetes Event; empty where there is none.
        contested: how many fields others keep otherwise.
    """

    in_step: bool | None
    message: str
    reason: str = ""
    contested: int = 0


def in_step(wanted: Wanted) -> Standing:
    """All that the policy has room for is as it should be."""
    if wanted.left_out:
        message = (
            f"it has no room for the tiers {_some(wanted.left_out)}: their owners share the smallest limit "
            "there is; have fewer tiers"
        )
        return Standing(False, message, "LimitsIncomplete")
    return Standing(True, "its limits are those of the mapping")


def contested(kept: Sequence[FieldConflict], wanted: Wanted) -> Standing:
    """It was written but for what others keep."""
    if not kept:
        return in_step(wanted)
    fields = _some([f"{each.field} (of {each.manager})" for each in kept])
    message = (
        f"other field managers keep {fields} otherwise than the mapping says; that is left as it is until "
        "they let go of it"
    )
    return Standing(False, message, "LimitsConflict", len(kept))


def different(fields: Sequence[str], wanted: Wanted) -> Standing:
    """It is only looked at."""
    if not fields:
        return in_step(wanted)
    message = f"{_some(fields)} differ from the mapping, and MAAS_LIMITS_MODE says only to report that"
    return Standing(False, message, "LimitsDiffer")


def refused(error: KubeError) -> Standing:
    """The API server does not accept what should be written."""
    return Standing(False, f"its limits cannot be written: {error}", "LimitsRefused")


async def reported(policy: str, standing: Standing, before: Standing | None, warn: Warn) -> None:
    """Say that a policy now stands otherwise than `before`, in the log and, if need be, in an Event."""
    if standing.reason:
        logger.warning("%s: %s", policy, standing.message)
        await warn(standing.reason, f"{policy}: {standing.message}")
    elif before is not None or standing.in_step is None:
        logger.info("%s: %s", policy, standing.message)


def _some(names: Sequence[str]) -> str:
    """The names, or the first of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
