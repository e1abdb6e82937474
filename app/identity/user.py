"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

# What may stand in a header as it is; everything else of a user name is percent-encoded (RFC 3986).
_PLAIN = ":@/+.-_~"


@dataclass(frozen=True, slots=True)
class User:
    """A user as a TokenReview names them: nothing else in the service makes one."""

    username: str
    groups: tuple[str, ...]


def header_value(username: str) -> str:
    """The name of a user as the header ``x-maas-user`` carries it, and the label `user` of metrics."""
    return quote(username, safe=_PLAIN)


def of_header_value(value: str) -> str:
    """The name of the user that a header's value stands for."""
    return unquote(value)
