"""Keeps the local gateway's limits and models equal to what the service sees."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.embedded.gateway import LocalGateway
    from app.service import Service

logger = logging.getLogger(__name__)

# A tier without a limit (the upstream list form has none) is not limited here either; Envoy wants a number.
_UNLIMITED = 1_000_000_000


class GatewayFeed:
    """Follows mapping and models and hands every change to the gateway."""

    def __init__(self, service: Service, gateway: LocalGateway) -> None:
        self._service = service
        self._gateway = gateway
        self._changed = asyncio.Event()
        service.tiers.subscribe(self._changed.set)
        service.catalogue.subscribe(self._changed.set)

    def apply(self) -> None:
        """Hand over what there is now."""
        mapping = self._service.tiers.mapping
        tiers = mapping.tiers if mapping else ()
        self._gateway.update(
            {tier.name: tier.requests_per_minute or _UNLIMITED for tier in tiers},
            [model_id for model_id, _ in self._service.catalogue.items()],
        )

    async def run(self) -> None:
        """Hand over every change until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                # Writes two small files, and only when something is different.
                await asyncio.to_thread(self.apply)
            except Exception:
                logger.exception("the gateway could not be told of new limits or models")
