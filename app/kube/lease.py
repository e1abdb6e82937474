"""What a Lease says: who leads, and for how long that is to be believed.

The fields are used as client-go uses them ("Leases" in the Kubernetes documentation), so `kubectl get lease`
shows the leader. Whoever has the right to may have written anything: what cannot be read counts as absent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.kube.timestamps import micro_timestamp

if TYPE_CHECKING:
    from app.kube.client import JsonObject

# Nobody asks for more (`settings.LeaderSettings`): a slip of the hand must not keep a lease for years.
LONGEST_SECONDS = 300


def record_of(lease: JsonObject | None) -> JsonObject:
    """The lease's `spec`, which changes with every renewal; labels and annotations are not in it."""
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def holder_of(record: JsonObject) -> str:
    """The identity that holds the lease; empty if nobody does."""
    holder = record.get("holderIdentity")
    return holder if isinstance(holder, str) else ""


def seconds_of(record: JsonObject, *, default: float) -> float:
    """How long the holder is to be waited for after each change; `default` if it does not say."""
    seconds = _whole(record.get("leaseDurationSeconds"))
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else default


def claimed(record: JsonObject, *, identity: str, seconds: float, now: float) -> JsonObject:
    """The record when `identity` takes or renews the lease.

    Args:
        record: as it is now; empty if there is none.
        identity: the holder.
        seconds: how long it is to be waited for; rounded up, since Kubernetes knows whole seconds only.
        now: seconds since the epoch.
    """
    time = micro_timestamp(now)
    claim = {
        **record,
        "holderIdentity": identity,
        "leaseDurationSeconds": math.ceil(seconds),
        "renewTime": time,
    }
    if holder_of(record) != identity:
        claim["acquireTime"] = time
        claim["leaseTransitions"] = _whole(record.get("leaseTransitions"), default=-1) + 1
    return claim


def released(record: JsonObject, *, now: float) -> JsonObject:
    """The record when nobody holds the lease, so that the next one need not wait."""
    time = micro_timestamp(now)
    # Without a holder the duration means nothing, but the API server wants one above 0.
    return {**record, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": time, "acquireTime": time}


def _whole(value: object, *, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
