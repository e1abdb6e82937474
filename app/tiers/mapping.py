"""Which tier a person's groups give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Tier:
    """A service level and the groups whose members have it.

    Attributes:
        name: A DNS-1123 label: it is the value of the label `tier` and ends the group `maas:tier:<tier>`.
        groups: The groups as given, each once.
        level: The rank as given; None when the file says none.
        display_name: What people read; the name unless given.
        description: One or several lines for people; may be empty.
        requests_per_minute: Requests one owner may send in a minute; None when the platform's own policies
            decide.
        tokens_per_minute: Model tokens one owner may use in a minute; None for no such limit.
        max_tokens: Live MaaS tokens one owner may hold; None for the service's own default.
    """

    name: str
    groups: tuple[str, ...]
    level: int | None = None
    display_name: str = ""
    description: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.display_name:
            object.__setattr__(self, "display_name", self.name)


@dataclass(frozen=True, slots=True)
class TierMapping:
    """All tiers, from the lowest rank to the highest.

    A tier ranks by three things, compared one after the other:

    1. its `level`, higher wins; a tier without one counts as level 0, the lowest there is;
    2. its requests per minute, higher wins; a tier without that limit counts as 0;
    3. its place in the file, later wins.

    So when every tier has a level of its own, the levels decide alone, and when none has, the requests per
    minute do. Where some have: a level above 0 puts a tier above all those without, and `level: 0` changes
    nothing.

    Args:
        tiers: The tiers in the order of the file; kept in the order of rank.

    Raises:
        ValueError: Two tiers have the same name.
    """

    tiers: tuple[Tier, ...]
    _ranks: dict[str, int] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Tier] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Sorting is stable: among equals, the place in the file remains.
        tiers = tuple(sorted(self.tiers, key=_rank))
        by_name = {tier.name: tier for tier in tiers}
        if len(by_name) != len(tiers):
            raise ValueError("two tiers have the same name")
        ranks = {group: rank for rank, tier in enumerate(tiers) for group in tier.groups}
        object.__setattr__(self, "tiers", tiers)
        object.__setattr__(self, "_ranks", ranks)
        object.__setattr__(self, "_by_name", by_name)

    def tier_of(self, groups: Iterable[str]) -> Tier | None:
        """Return the highest-ranking tier that one of the groups belongs to; None when there is none."""
        ranks = self._ranks
        best = -1
        for group in groups:
            rank = ranks.get(group, -1)
            best = max(rank, best)
        return self.tiers[best] if best >= 0 else None

    def get(self, name: str) -> Tier | None:
        """Return the tier of that name; None when there is none."""
        return self._by_name.get(name)


def _rank(tier: Tier) -> tuple[int, int]:
    return tier.level or 0, tier.requests_per_minute or 0
