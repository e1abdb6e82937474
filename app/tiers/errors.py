"""What is wrong with a tier mapping, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PROBLEMS = 20
"""So many problems are reported at once; reading stops there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        line: The line in the text of the ConfigMap's key, counted from 1; None when the text is not to blame
            (the key is missing, for example).
        column: The column in that line, counted from 1 in characters; None together with `line`.
        path: The field, such as `tiers.free.rateLimit.requestsPerMinute`; empty for the text as a whole.
        message: What was expected and what was found.
    """

    line: int | None
    column: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = [] if self.line is None else [f"line {self.line}, column {self.column}"]
        return ": ".join([*place, *([self.path] if self.path else []), self.message])


class MappingError(ValueError):
    """The tier mapping cannot be read.

    `str()` has one line per problem, in the order of the text. The first line is useful alone: it names the
    key, the first problem, and how many more there are.

    Attributes:
        key: The key of the ConfigMap that is to blame; None when that is the question.
        problems: Everything that was found, at least one, at most `MAX_PROBLEMS`.
        cut: Whether reading stopped at `MAX_PROBLEMS`, so that there may be more.
    """

    def __init__(self, problems: Sequence[Problem], *, key: str | None = None, cut: bool = False) -> None:
        self.key = key
        self.problems = tuple(problems)
        self.cut = cut
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        prefix = f"{self.key}: " if self.key else ""
        first, *others = self.problems
        more = f" (and {len(others)} more)" if others else ""
        lines = [f"{prefix}{first}{more}", *(f"{prefix}{problem}" for problem in others)]
        if self.cut:
            lines.append(f"{prefix}reading stopped here; there may be more")
        return lines
