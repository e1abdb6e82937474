"""What the service shows to Prometheus, and what Prometheus has to show.

Both files are replaced now and then, a ServiceAccount's token every hour, so they are read for each question.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

from app.usage.errors import UsageUnavailableError

_MOST_BYTES: Final = 1024 * 1024


class Credentials:
    """The token in one file and the CA certificates in another; either may be missing.

    Attributes:
        trust: what a TLS connection is checked by; certificates that the file has had stay trusted.
    """

    def __init__(self, token_file: str | None, ca_file: str | None) -> None:
        self._token_file = Path(token_file) if token_file else None
        self._ca_file = Path(ca_file) if ca_file else None
        self._loaded = ""
        # The system's certificates, unless there are others.
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if ca_file else ssl.create_default_context()

    async def headers(self) -> dict[str, str]:
        """The headers of a request that is sent now, with the certificates loaded that are in the file now.

        Raises:
            UsageUnavailableError: a file cannot be read, or holds something else.
        """
        if self._token_file is None and self._ca_file is None:
            return {}
        return await asyncio.to_thread(self._refresh)

    def _refresh(self) -> dict[str, str]:
        if self._ca_file is not None:
            certificates = _read(self._ca_file)
            if certificates != self._loaded:
                try:
                    self.trust.load_verify_locations(cadata=certificates)
                except (ssl.SSLError, ValueError) as error:
                    raise UsageUnavailableError(f"{self._ca_file} holds no certificates: {error}") from None
                self._loaded = certificates
        if self._token_file is None:
            return {}
        token = _read(self._token_file)
        if any(character.isspace() or not character.isprintable() for character in token):
            raise UsageUnavailableError(f"{self._token_file} holds something else than one token")
        return {"Authorization": f"Bearer {token}"}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageUnavailableError(f"{path} cannot be read: {error}") from None
    if not text:
        raise UsageUnavailableError(f"{path} is empty")
    return text
