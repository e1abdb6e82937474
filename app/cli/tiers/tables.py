"""Tiers and people, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.cli.tiers.owners import Move, Owner
    from app.tiers.mapping import TierMapping

_MOST = 20


def tier_table(mapping: TierMapping, holders: Mapping[str, Sequence[Owner]] | None = None) -> Table:
    """The tiers, the highest first; with the people who hold tokens, where those are known."""
    table = Table("tier")
    table.add_column("groups", overflow="fold")
    for heading in ("level", "requests/min", "tokens/min", "live tokens"):
        table.add_column(heading, justify="right")
    if holders is not None:
        table.add_column("people now", justify="right")
    for tier in reversed(mapping.tiers):
        limits = (tier.level, tier.requests_per_minute, tier.tokens_per_minute, tier.max_tokens)
        cells = ["" if limit is None else str(limit) for limit in limits]
        if holders is not None:
            cells.append(str(len(holders.get(tier.name, ()))))
        name = tier.name if tier.display_name == tier.name else f"{tier.name} ({tier.display_name})"
        table.add_row(escape(name), escape("\n".join(tier.groups)), *cells)
    return table


def move_table(moves: Sequence[Move]) -> Table:
    """Who gets another tier; the first of them, if there are many."""
    table = Table("person", "tier now", "tier then", "tokens")
    for move in moves[:_MOST]:
        table.add_row(
            escape(move.owner.name), move.before or "none", move.after or "none", str(move.owner.tokens)
        )
    if len(moves) > _MOST:
        table.add_row(f"… and {len(moves) - _MOST} more")
    return table


def reason_table(mapping: TierMapping, sources: Iterable[tuple[str, str]]) -> Table:
    """Which group gives which tier, and where it is known from."""
    table = Table("group", "known from", "gives", show_lines=False)
    for group, source in sources:
        tier = mapping.tier_of([group])
        table.add_row(escape(group), source, tier.name if tier else "")
    return table
