"""Why a deployment ends before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.cli.deploy.readiness import Pending


class DeployError(Exception):
    """It cannot go on; `str()` says why, and what to do."""


class ChoiceError(DeployError):
    """What was asked for does not exist: a phase, a model, a folder."""


class ConflictingOwnersError(DeployError):
    """Somebody else has changed what the manifests say."""


class TimedOutError(DeployError):
    """Something is not ready in time.

    Attributes:
        phase: the name of the phase.
        pending: what was waited for, at least one.
    """

    def __init__(self, phase: str, pending: Sequence[Pending], seconds: float) -> None:
        super().__init__(f"phase {phase}: not ready after {seconds:g} s")
        self.phase = phase
        self.pending = tuple(pending)
