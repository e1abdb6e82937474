"""The keys that the cluster signs ServiceAccount tokens with, and the issuer it signs as.

Both come from the API server itself ("ServiceAccount token issuer discovery" in the Kubernetes
documentation): its ``/openid/v1/jwks`` holds the keys even where the issuer's own address is elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jwt import PyJWKSet
from jwt.exceptions import PyJWTError

from app.kube.errors import KubeUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt import PyJWK

    from app.kube.client import KubeClient


class SigningKeys:
    """Keys by their id, fetched when first needed and again for an id that is unknown, at a bounded rate."""

    def __init__(
        self, client: KubeClient, *, clock: Callable[[], float], refetch_seconds: float = 10
    ) -> None:
        self._client = client
        self._clock = clock
        self._refetch_seconds = refetch_seconds
        self._keys: dict[str, PyJWK] = {}
        self._asked_at = float("-inf")
        self._answered = False
        self._lock = asyncio.Lock()
        self._published: object = None
        self._subscribers: list[Callable[[], None]] = []
        self.issuer = ""

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever the issuer or the keys have changed."""
        self._subscribers.append(notify)

    async def key(self, key_id: str) -> PyJWK | None:
        """The key with this id, or None if the cluster has none.

        Raises:
            KubeError: the key is not known, and the API server could not be asked, now or a moment ago.
        """
        if (key := self._keys.get(key_id)) is not None:
            return key
        async with self._lock:
            if key_id in self._keys:
                return self._keys[key_id]
            # Anybody can make up ids: failures count against the rate too, and nobody queues up behind them.
            if self._clock() - self._asked_at >= self._refetch_seconds:
                await self._fetch()
            elif not self._answered:
                raise KubeUnavailableError("the signing keys could not be asked for a moment ago")
        return self._keys.get(key_id)

    async def fetch(self) -> None:
        """Get issuer and keys now.

        Raises:
            KubeError: the API server could not be asked.
        """
        async with self._lock:
            await self._fetch()

    async def _fetch(self) -> None:
        self._asked_at = self._clock()
        self._answered = False
        discovery = await self._client.get_path("/.well-known/openid-configuration")
        document = await self._client.get_path("/openid/v1/jwks")
        try:
            keys = PyJWKSet.from_dict(document).keys
        except (PyJWTError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise KubeUnavailableError("the API server publishes no usable signing keys") from error
        self.issuer = str(discovery.get("issuer", ""))
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._answered = True
        if self._published != (published := (self.issuer, document)):
            self._published = published
            for notify in self._subscribers:
                notify()
