"""Is the process alive, and can it decide?"""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Response

from app.api.dependencies import Parts
from app.service import Service

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Ready", responses={503: {"description": "Not ready; the body says why."}})
async def readyz(service: Parts, response: Response) -> dict[str, Any]:
    """Whether requests can be answered, and what is wrong if something is.

    `status` is ``ok``, ``degraded`` (answers are right, but something needs a look: still 200, since taking
    every replica out of service would help nobody) or ``unavailable`` (503).
    """
    document = readiness(service)
    # What is wrong with the mapping may quote it; the gateway app's /readyz and the log tell that.
    del document["mapping"]["error"]
    if document["status"] == "unavailable":
        response.status_code = 503
    return document


def readiness(service: Service) -> dict[str, Any]:
    """``{"status", "problems": [str], "kubernetes": {"ageSeconds"}, "mapping": {"generation", "error"}}``."""
    age = service.decisions.age()
    blocking = [
        f"{reflector.name}: first list not complete"
        for reflector in service.reflectors
        if not reflector.synced and reflector not in service.optional
    ]
    if age > service.decisions.staleness_seconds:
        blocking.append("what is known of the cluster is too old to decide by")
    if service.tiers.mapping is None:
        blocking.append("no valid tier mapping yet")
    if service.stopping.is_set():
        blocking.append("shutting down")
    notes = []
    if service.tiers.mapping and service.tiers.error:
        notes.append("the tier mapping was rejected; the last good one is in force")
    if not all(reflector.synced for reflector in service.optional):
        notes.append("the prices are not read yet; there are no costs")
    elif service.prices.error:
        notes.append("the prices were rejected; the last good ones are in force")
    if not service.decisions.connected and not blocking:
        notes.append("the Kubernetes API is away; decisions are made from memory")
    return {
        "status": "unavailable" if blocking else "degraded" if notes else "ok",
        "problems": blocking + notes,
        "kubernetes": {"ageSeconds": round(age, 1) if math.isfinite(age) else None},
        "mapping": {"generation": service.tiers.generation, "error": service.tiers.error},
    }
