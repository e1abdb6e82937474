"""What the policies of all gateways have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from app.kube.client import JsonObject
    from app.kube.resources import Resource
    from app.tiers.mapping import TierMapping

FIELD_MANAGER: Final = "maas-api-limits"
"""To whom the fields belong that follow the mapping."""
UNLIMITED: Final = 1_000_000_000
"""The largest number that a mapping may say; it stands for no limit where a gateway wants a number."""


class NotFollowedError(Exception):
    """The mapping has nothing to say about a policy, or the policy is of another shape than the shipped one.

    It is left as it is; `str()` says why.
    """


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a policy should say.

    Attributes:
        spec: the fields of `spec` that follow the mapping; all others are somebody else's.
        removed: fields, as paths below `spec`, that should not be there.
        left_out: tiers that the policy has no room for.
    """

    spec: JsonObject
    removed: tuple[tuple[str, ...], ...] = field(default=())
    left_out: tuple[str, ...] = field(default=())


class Policy(Protocol):
    """One of the shipped policies, which is known by its name."""

    @property
    def resource(self) -> Resource:
        """Where the API server has it."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def name(self) -> str:
        """Its name in the namespace of the service."""

    def wanted(self, mapping: TierMapping, policy: JsonObject) -> Wanted:
        """What it should say by this mapping.

        Args:
            mapping: the mapping in force.
            policy: as it is at present.

        Raises:
            NotFollowedError: it is to be left as it is.
        """
