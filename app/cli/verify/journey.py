"""The way of a user through the gateway: one MaaS token, asked for, used and given back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx

from app.cli.gateway.options import trust

if TYPE_CHECKING:
    from pathlib import Path

NAME = "maasctl-verify"
"""What the token is called, so that its owner knows it again."""

SHORTEST = "10m"
_TIMEOUT = httpx.Timeout(30.0, read=120.0)
"""A model that is cold takes its time until the first byte."""
_CLEANUP_SECONDS = 15.0
_PROMISED_SECONDS = 1.0


class Journey:
    """Requests through the gateway, and the token they are made with.

    Its methods may raise an httpx.HTTPError.

    Attributes:
        url: where the gateway is; empty until it is known.
        caller_token: empty until it is known.
        token: the MaaS token; empty while there is none.
        tier: what `GET /maas-api/tier` answers.
        models: what `GET /v1/models` lists.
        model: the model that answered; empty while none has.
        limit_shown: `x-ratelimit-limit` of that answer; empty if the gateway does not show it.
    """

    def __init__(self) -> None:
        self.url = ""
        self.caller_token = ""
        self.token = ""
        self.tier: dict[str, Any] = {}
        self.models: list[dict[str, Any]] = []
        self.model = ""
        self.limit_shown = ""
        self._token_id = ""
        self._issuing: asyncio.Task[httpx.Response] | None = None
        self._client: httpx.AsyncClient | None = None

    def open(self, url: str, *, ca_file: Path | None, insecure: bool) -> None:
        """Set out for a gateway.

        Raises:
            OSError: the file of certificates cannot be read, or has none (ssl.SSLError).
        """
        self.url = url
        verify = trust(ca_file, insecure=insecure)
        self._client = httpx.AsyncClient(base_url=self.url, verify=verify, timeout=_TIMEOUT)

    async def request(
        self, method: str, path: str, *, token: str = "", headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """An answer of the gateway.

        Args:
            method: HTTP's.
            path: from the root.
            token: the bearer token; empty for none.
            headers: further ones.
            **body: what httpx takes, such as `json`.
        """
        assert self._client is not None  # noqa: S101  # `open` is the first check of the journey
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return await self._client.request(method, path, headers={**authorization, **(headers or {})}, **body)

    async def as_caller(self, method: str, path: str, **body: Any) -> httpx.Response:
        """An answer to the person."""
        return await self.request(method, path, token=self.caller_token, **body)

    async def as_holder(self, method: str, path: str, **body: Any) -> httpx.Response:
        """An answer to the holder of the MaaS token."""
        return await self.request(method, path, token=self.token, **body)

    async def ask(self, model: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
        """A model's answer of one token."""
        question = {
            "model": model,
            "max_tokens": 1,
            "messages": [{"role": "user", "content": "Hello!"}],
        }
        return await self.as_holder("POST", "/v1/chat/completions", headers=headers, json=question)

    async def issue(self) -> httpx.Response:
        """The answer to the request for the MaaS token, with the shortest lifetime.

        When this is cancelled, `close` still waits for it: else nobody would know which token to revoke.
        """
        self._issuing = asyncio.create_task(self._issue(), name="issue the token of maasctl verify")
        return await asyncio.shield(self._issuing)

    async def revoke(self) -> httpx.Response:
        """The answer to the request that ends the token."""
        response = await self.as_caller("DELETE", f"/maas-api/tokens/{self._token_id}")
        if response.is_success or response.status_code == httpx.codes.NOT_FOUND:
            self._token_id = ""
        return response

    async def refused_after(self) -> float | None:
        """How long the token still passes, in seconds; None if it does after a second too."""
        begun = time.monotonic()
        while True:
            response = await self.as_holder("GET", "/v1/models")
            elapsed = time.monotonic() - begun
            if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                return elapsed
            if elapsed > _PROMISED_SECONDS:
                return None
            await asyncio.sleep(0.05)

    async def close(self) -> str:
        """Leave nothing behind.

        Returns:
            The id of the token that could not be revoked; it ends by itself. Empty if there is none.
        """
        if self._client is None:
            return ""
        try:
            # Not `timeout`: in a task that was cancelled, Python before 3.11.3 makes a CancelledError of it.
            await asyncio.wait_for(self._clean_up(), _CLEANUP_SECONDS)
        except (TimeoutError, httpx.HTTPError):
            pass
        finally:
            if self._issuing is not None:
                self._issuing.cancel()
            await self._client.aclose()
        return self._token_id

    async def _clean_up(self) -> None:
        if self._issuing is not None:
            await asyncio.wait([self._issuing])
        if self._token_id:
            await self.revoke()

    async def _issue(self) -> httpx.Response:
        wish = {"name": NAME, "expiration": SHORTEST}
        response = await self.as_caller("POST", "/maas-api/token", json=wish)
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            # The platform's shortest lifetime is another one: take its default.
            response = await self.as_caller("POST", "/maas-api/token", json={"name": NAME})
        if response.status_code == httpx.codes.CREATED:
            issued = response.json()
            self.token, self._token_id = str(issued["token"]), str(issued["id"])
        return response
