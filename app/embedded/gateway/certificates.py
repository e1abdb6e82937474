"""The certificates of the local gateway: a CA of its own and one server certificate."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_NAMES = ("localhost", "127.0.0.1", "::1")
_LIFETIME = dt.timedelta(days=365)
_MARGIN = dt.timedelta(days=7)


@dataclass(frozen=True)
class Certificates:
    """Where the PEM files are.

    Attributes:
        ca: The CA certificate; clients trust it.
        chain: The server's certificate chain.
        key: The server's private key.
    """

    ca: Path
    chain: Path
    key: Path


def ensure_certificates(
    directory: Path, now: Callable[[], dt.datetime], names: Iterable[str] = ()
) -> Certificates:
    """Return the certificates kept in `directory`, made anew unless they hold for a week more.

    The CA's key is never written: nobody can sign anything else with it later.

    Args:
        directory: Made if it is missing; only its owner can read it.
        now: The current time, with a time zone.
        names: Host names and IP addresses of the server, besides those of the loopback interface.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    moment, wanted = now(), {*_NAMES, *names}
    if not _usable(kept, moment, wanted):
        _issue(kept, moment, wanted)
    return kept


def _issue(kept: Certificates, moment: dt.datetime, names: set[str]) -> None:
    authority = trustme.CA(organization_name="PrivateMaaS", organization_unit_name="local gateway")
    server = authority.issue_cert(
        *sorted(names),
        organization_name="PrivateMaaS",
        # A clock that is a little behind must not refuse what was made just now.
        not_before=moment - dt.timedelta(hours=1),
        not_after=moment + _LIFETIME,
    )
    _write(kept.ca, authority.cert_pem.bytes())
    _write(kept.key, server.private_key_pem.bytes())
    _write(kept.chain, b"".join(blob.bytes() for blob in server.cert_chain_pems))


def _write(path: Path, content: bytes) -> None:
    """Replace `path` at once, readable by its owner only from the first byte on."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def _usable(kept: Certificates, moment: dt.datetime, names: set[str]) -> bool:
    try:
        authority = x509.load_pem_x509_certificate(kept.ca.read_bytes())
        server = x509.load_pem_x509_certificate(kept.chain.read_bytes())
        key = load_pem_private_key(kept.key.read_bytes(), password=None)
        server.verify_directly_issued_by(authority)
        named = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    if not names <= {str(name.value) for name in named}:
        return False
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if server.public_key().public_bytes(*public) != key.public_key().public_bytes(*public):
        return False
    return server.not_valid_before_utc <= moment < server.not_valid_after_utc - _MARGIN
