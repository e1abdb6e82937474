"""The prices in force, kept by a reflector over their ConfigMap.

Prices that cannot be read never replace those that can: the last good ones stay in force, and `error` says
what is wrong with the newer ones. That there is no ConfigMap is no mistake: then nothing has a price.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.kube.one_object import OneObject
from app.tiers.errors import MappingError
from app.usage.price_parser import parse_prices
from app.usage.prices import PriceList

if TYPE_CHECKING:
    from app.kube.client import JsonObject

logger = logging.getLogger(__name__)


class PriceSource(OneObject):
    """Holds the prices in force; a `Sink` for the reflector of their ConfigMap.

    Attributes:
        prices: those in force; without a ConfigMap there are none.
        error: why the ConfigMap's present content is not in force, or None when it is.
    """

    def __init__(self) -> None:
        self.prices = PriceList()
        self.error: str | None = None

    # Sink

    def put(self, item: JsonObject) -> None:
        """Put the ConfigMap's prices in force, if they can be read."""
        try:
            prices = parse_prices(item.get("data") or {})
        except MappingError as error:
            if str(error) != self.error:
                self.error = str(error)
                logger.error("prices rejected, the last good ones stay in force: %s", error)  # noqa: TRY400  # the message says it all
            return
        self._take(prices)

    def lose(self, why: str) -> None:  # noqa: ARG002  # it does not matter here
        """Note that there is no ConfigMap: nothing has a price."""
        self._take(PriceList())

    def _take(self, prices: PriceList) -> None:
        if prices == self.prices and self.error is None:
            return
        self.prices, self.error = prices, None
        logger.info(
            "prices of %d models are in force, in %s", len(prices.models), prices.currency or "no currency"
        )
