"""How much was used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything, in some time.

    Attributes:
        requests: all that the gateway has counted, the refused ones too.
        refused: those of them that a limit refused (429).
        answered: those of them that a model answered, which a price is for.
        prompt_tokens: tokens that models have read, as they say themselves.
        completion_tokens: tokens that models have written, as they say themselves.
        unmetered: answers that did not say how many tokens they took.
        exact: whether all of this was counted; False if a part is an estimate, because a counter began anew.
    """

    requests: int = 0
    refused: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unmetered: int = 0
    exact: bool = True

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.requests + other.requests,
            self.refused + other.refused,
            self.answered + other.answered,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.unmetered + other.unmetered,
            self.exact and other.exact,
        )

    @property
    def chargeable(self) -> bool:
        """Whether there is anything that a price could be for."""
        return bool(self.answered or self.prompt_tokens or self.completion_tokens)
