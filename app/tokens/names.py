"""Names that are made from user names: decoration for people, never the identity itself."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Final

_LONGEST: Final = 63  # Also a label value, so no longer than one.
_READ: Final = 256  # Enough of any name to fill that.
_PLAIN: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # Nearly every name, and nothing to do.
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_MARKS: Final = re.compile("[\u0300-\u036f]")
# Letters that Unicode does not take apart.
_LETTERS: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h"}
)
_END_OF_TIME: Final = 10**20  # Keeps more than half of the id for the name.

_DNS_1123_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LONGEST_SUBDOMAIN: Final = 253


def token_id(username: str, milliseconds: int) -> str:
    """The id of a new token, ``<user>-sa-<timestamp>``: a DNS-1123 label, whatever the user's name is.

    Letters lose their accents, everything else becomes ``-``, and a name without any letter that is left
    becomes ``user``. A long name is cut; the rest of the id never is.

    Args:
        username: as Kubernetes knows it, such as ``alice@example.com`` or ``system:serviceaccount:ns:name``.
        milliseconds: since 1970.

    Raises:
        ValueError: `milliseconds` is negative, or has more than 20 digits.
    """
    if not 0 <= milliseconds < _END_OF_TIME:
        raise ValueError("not a time in milliseconds since 1970")
    suffix = f"-sa-{milliseconds}"
    # People know alice@example.com as alice.
    local = username[:_READ].partition("@")[0] or username[:_READ]
    user = local if _PLAIN.fullmatch(local) else _plain(local)
    return (user[: _LONGEST - len(suffix)].rstrip("-") or "user") + suffix


def _plain(name: str) -> str:
    decomposed = _MARKS.sub("", unicodedata.normalize("NFKD", name.casefold()))
    return _OTHER.sub("-", decomposed.translate(_LETTERS)).strip("-")


@lru_cache(maxsize=1024)
def owner_label(username: str) -> str:
    """The label value that selects a user's tokens: the SHA-256 of the name in hex, cut to 40 characters."""
    return hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def is_token_id(text: str) -> bool:
    """Whether `text` could be the name of a ServiceAccount (a DNS-1123 subdomain)."""
    return len(text) <= _LONGEST_SUBDOMAIN and _DNS_1123_SUBDOMAIN.fullmatch(text) is not None
