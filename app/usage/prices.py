"""What models cost."""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.usage.amounts import Amounts

_MILLION: Final = Decimal(1_000_000)
# Prices and counts have fewer digits than this together: a result that had to be rounded would be a mistake.
_EXACT: Final = decimal.Context(prec=100, traps=[decimal.Inexact, decimal.InvalidOperation])


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model; None where something is not charged for.

    Attributes:
        prompt: of a million prompt tokens.
        completion: of a million completion tokens.
        request: of each request that was answered.
    """

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of models, by their ids, in one currency; with none at all the currency is empty."""

    currency: str = ""
    models: Mapping[str, Price] = field(default_factory=dict)

    def cost(self, model: str, amounts: Amounts) -> Decimal | None:
        """What these amounts of a model cost, exactly; None for a model without a price."""
        price = self.models.get(model)
        if price is None:
            return None
        with decimal.localcontext(_EXACT):
            tokens = amounts.prompt_tokens * (price.prompt or 0)
            tokens += amounts.completion_tokens * (price.completion or 0)
            return Decimal(tokens) / _MILLION + amounts.answered * (price.request or 0)

    def total(self, parts: Mapping[str, Amounts]) -> Decimal | None:
        """What the amounts of several models cost together, exactly.

        Models without a price are left out. None where all of them are, and where there are no prices.
        """
        costs = [cost for model, amounts in parts.items() if (cost := self.cost(model, amounts)) is not None]
        if not self.currency or (parts and not costs):
            return None
        with decimal.localcontext(_EXACT):
            return sum(costs, Decimal(0))


def plain(amount: Decimal) -> str:
    """An amount with all of its digits and no others: no exponent, no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
