"""Times as the Kubernetes API writes them (RFC 3339 in UTC): metav1.Time and metav1.MicroTime."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# Most times that are written and read are those of the same few seconds.
_SECONDS = 1024


@lru_cache(_SECONDS)
def timestamp(seconds: int) -> str:
    """Seconds since the epoch as Kubernetes writes a time, such as ``2026-01-28T00:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat() + "Z"


def micro_timestamp(seconds: float) -> str:
    """Seconds since the epoch as Kubernetes writes a metav1.MicroTime: always six digits after the point."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(_SECONDS)
def epoch(text: str) -> int:
    """Seconds since the epoch of an RFC 3339 time.

    Raises:
        ValueError: `text` is not one.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    try:
        return int(moment.astimezone(UTC).timestamp())
    except OverflowError:
        raise ValueError("a time that has no year in UTC") from None
