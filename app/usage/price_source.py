"""The prices in force, kept by a reflector over their ConfigMap.

Prices that cannot be read never replace those that can: the last good ones stay in force, and `error` says
what is wrong with the newer ones. That there is no ConfigMap is no mistake: then nothing has a price.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.tiers.errors import MappingError
from app.usage.price_parser import parse_prices
from app.usage.prices import PriceList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.kube.client import JsonObject

logger = logging.getLogger(__name__)


class PriceSource:
    """Holds the prices in force; a `Sink` for the reflector of their ConfigMap.

    Attributes:
        prices: those in force; without a ConfigMap there are none.
        error: why the ConfigMap's present content is not in force, or None when it is.
    """

    def __init__(self) -> None:
        self.prices = PriceList()
        self.error: str | None = None

    # Sink

    def decode(self, obj: JsonObject) -> JsonObject:
        """The ConfigMap itself."""
        return obj

    def replace(self, items: Sequence[JsonObject], resource_version: int) -> None:  # noqa: ARG002  # a Sink's signature
        """Take the one ConfigMap there is, or note that there is none."""
        if items:
            self.put(items[0])
        else:
            self._take(PriceList())

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

    def remove(self, obj: JsonObject) -> None:  # noqa: ARG002  # a Sink's signature
        """Note that the ConfigMap was deleted: nothing has a price any more."""
        self._take(PriceList())

    def _take(self, prices: PriceList) -> None:
        if prices == self.prices and self.error is None:
            return
        self.prices, self.error = prices, None
        logger.info(
            "prices of %d models are in force, in %s", len(prices.models), prices.currency or "no currency"
        )
