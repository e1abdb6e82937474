"""Names that are made from user names: decoration for people, never the identity itself."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 63  # Also a label value, so no longer than one.
_NOT_DNS = re.compile(r"[^a-z0-9]+")
_DNS_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LONGEST_SUBDOMAIN = 253


def token_id(username: str, milliseconds: int) -> str:
    """The id of a new token, ``<user>-sa-<timestamp>``: a DNS-1123 label, whatever the user's name is."""
    suffix = f"-sa-{milliseconds}"
    ascii_name = unicodedata.normalize("NFKD", username).encode("ascii", "ignore").decode().lower()
    user = _NOT_DNS.sub("-", ascii_name).strip("-")
    return (user[: _LONGEST - len(suffix)].rstrip("-") or "user") + suffix


def owner_label(username: str) -> str:
    """The label value that selects a user's tokens: the SHA-256 of the name in hex, cut to 40 characters."""
    return hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def is_token_id(text: str) -> bool:
    """Whether `text` could be the name of a ServiceAccount (a DNS-1123 subdomain)."""
    return len(text) <= _LONGEST_SUBDOMAIN and _DNS_1123_SUBDOMAIN.fullmatch(text) is not None
