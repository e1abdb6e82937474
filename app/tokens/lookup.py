"""Finds tokens, also those that another replica issued a moment ago."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from app.kube.errors import KubeNotFoundError
from app.kube.forms import METADATA
from app.kube.resources import SERVICE_ACCOUNTS
from app.tokens.errors import RecordError
from app.tokens.names import is_token_id, owner_label
from app.tokens.record import OWNER_LABEL, SELECTOR, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.kube.client import KubeClient
    from app.tokens.inventory import Inventory
    from app.tokens.record import MaasToken

_PAGE = 500


class Lookup:
    """The inventory first, and the API server for what it does not hold (yet)."""

    def __init__(self, client: KubeClient, inventory: Inventory, *, namespace: str) -> None:
        self._client = client
        self._inventory = inventory
        self._namespace = namespace

    async def find(self, token_id: str) -> MaasToken | None:
        """The token with this id, or None if there is none.

        Raises:
            KubeError: the inventory does not hold it and the API server could not be asked.
        """
        if (token := self._inventory.by_id(token_id)) is not None or not is_token_id(token_id):
            return token
        try:
            obj = await self._client.get(SERVICE_ACCOUNTS, token_id, namespace=self._namespace, form=METADATA)
            token = read(obj)
        except (KubeNotFoundError, RecordError):
            return None
        self._inventory.learn(token)
        # What this replica revoked is not put in again, whatever was just read.
        return self._inventory.by_uid(token.uid)

    async def of_owner(self, owner: str) -> list[MaasToken]:
        """All tokens of a user that there are now, oldest first: for what must not miss one.

        Raises:
            KubeError: the API server could not be asked.
        """
        await self._refresh(f"{SELECTOR},{OWNER_LABEL}={owner_label(owner)}")
        return self._inventory.of_owner(owner)

    async def all(self) -> AsyncIterator[MaasToken]:
        """Gives all tokens that there are now, oldest first, and lets others have their turn in between.

        Raises:
            KubeError: the API server could not be asked.
        """
        await self._refresh(SELECTOR)
        for number, token in enumerate(list(self._inventory.after(None)), start=1):
            yield token
            if number % _PAGE == 0:
                await asyncio.sleep(0)

    async def _refresh(self, selector: str) -> None:
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            page = await self._client.list(
                SERVICE_ACCOUNTS, namespace=self._namespace, query=query, form=METADATA
            )
            for obj in page.get("items") or ():
                with suppress(RecordError):
                    self._inventory.learn(read(obj))
            if not (following := page["metadata"].get("continue")):
                return
            query["continue"] = following
