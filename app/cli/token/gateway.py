"""The service behind the gateway, as a person with a caller token reaches it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from app.cli.gateway.options import trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 30.0
# The name of a ServiceAccount, and nothing that a path could take for something else.
_TOKEN_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")


class GatewayCallError(Exception):
    """The service cannot be reached, or refuses; `str()` says why."""


class Gateway:
    """Calls of /maas-api with a caller token.

    Args:
        url: of the gateway.
        token: the caller token.
        cacert: file with the CA that signed the gateway's certificate; None takes those the system trusts.
        insecure: whether any certificate will do.

    Raises:
        GatewayCallError: the address, the token or the file is none.
    """

    def __init__(self, url: str, token: str, *, cacert: Path | None, insecure: bool) -> None:
        try:
            verify = trust(cacert, insecure=insecure)
        except OSError as error:
            raise GatewayCallError(f"{cacert} cannot be used: {error}") from None
        try:
            self._client = httpx.Client(
                base_url=f"{url}/maas-api",
                headers={"Authorization": f"Bearer {token}"},
                verify=verify,
                timeout=_SECONDS,
            )
        except httpx.InvalidURL as error:
            raise GatewayCallError(f"{url}: {error}") from None
        except UnicodeEncodeError:
            raise GatewayCallError("the caller token has characters that no token has") from None
        self._url = url

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def issue(self, name: str, expiration: str | None) -> dict[str, Any]:
        """A new MaaS token, as the service answers.

        Raises:
            GatewayCallError: it was not issued.
        """
        body = {"name": name, **({"expiration": expiration} if expiration else {})}
        return self._call("POST", "/token", json=body)

    def tokens(self) -> Iterator[dict[str, Any]]:
        """The caller's own tokens, page by page.

        Raises:
            GatewayCallError: they cannot be listed.
        """
        params: dict[str, str] = {}
        while True:
            page = self._call("GET", "/tokens", params=params)
            yield from page["tokens"]
            if not page.get("continue"):
                return
            params = {"continue": page["continue"]}

    def revoke(self, token_id: str) -> None:
        """End a token.

        Raises:
            GatewayCallError: there is no such token, or it could not be ended.
        """
        if not _TOKEN_ID.fullmatch(token_id):
            raise GatewayCallError(f"{token_id!r} is no id of a token; `maasctl token list` shows yours")
        self._call("DELETE", f"/tokens/{token_id}")

    def revoke_all(self) -> int:
        """End all tokens of the caller; returns how many there were.

        Raises:
            GatewayCallError: they could not be ended.
        """
        return int(self._call("DELETE", "/tokens").get("revoked", 0))

    def usage(self, window: str, step: str | None, model: str | None) -> dict[str, Any]:
        """What the caller has used, as the service answers.

        Raises:
            GatewayCallError: it cannot be told.
        """
        asked = {"window": window, "step": step, "model": model}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._call("GET", "/usage", params=params)

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            hint = ""
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                hint = "; give its CA with --cacert FILE, or --insecure if you trust the network"
            raise GatewayCallError(f"{self._url} cannot be reached: {error}{hint}") from None
        try:
            document = response.json() if response.content else {}
        except ValueError:
            document = {}
        if response.is_success and isinstance(document, dict):
            return document
        raise GatewayCallError(_reason(response.status_code, document))


def _reason(status: int, document: Any) -> str:
    """What the service, or whatever is in front of it, says."""
    if isinstance(document, dict) and document.get("detail"):
        return f"{document['detail']} ({document.get('code', status)})"
    return f"the gateway answers {status}, which is no answer of the MaaS API; is --gateway right?"
