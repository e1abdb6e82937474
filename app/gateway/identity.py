"""``POST /internal/identity``: what Authorino asks after its own TokenReview.

Authorino may cache a TokenReview for a minute; this is asked every time and knows what happened since.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import JSONResponse

from app.api.problems import problem_for
from app.tiers.group import tier_group

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from app.service import Service

_MOST_BYTES = 64 * 1024


async def identity(request: Request) -> Response:
    """The live identity behind a ServiceAccount user that a TokenReview has named.

    Takes ``{"username": "system:serviceaccount:maas:<id>", "uid": "<uid>"}`` and gives
    ``{"active": true, "owner", "groups": [str], "tier", "id"}``, with the tier group among the groups, or
    ``{"active": false, "reason"}``; 503 when that cannot be decided now. Asked for a ``"model"`` too, it also
    gives ``"model": {"resource", "namespace", "name"}``, what that id stands for, or null if it is nobody's.
    """
    service: Service = request.app.state.service
    decisions = service.metrics.decisions
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            break
    try:
        document: Any = orjson.loads(body) if len(body) <= _MOST_BYTES else None
        username, uid = document["username"], document["uid"]
    except (ValueError, KeyError, TypeError):
        decisions.count_identity("", "invalid_request")
        return JSONResponse({"error": "expected an object with username and uid"}, status_code=400)
    try:
        service.decisions.check()
        answer = await _identify(service, str(username), str(uid))
        if answer["active"] and "model" in document:
            answer["model"] = _resource(service, str(document["model"]))
        decisions.count_identity(answer.get("tier", ""), "active" if answer["active"] else answer["reason"])
        return JSONResponse(answer)
    except Exception as error:  # noqa: BLE001  # Authorino must get an answer that lets nothing pass
        problem = problem_for(error)
        decisions.count_identity("", problem.code)
        return JSONResponse(
            {"error": problem.code}, status_code=problem.status, headers=dict(problem.headers)
        )


async def _identify(service: Service, username: str, uid: str) -> dict[str, Any]:
    prefix = f"system:serviceaccount:{service.settings.namespace}:"
    record = service.inventory.by_uid(uid)
    if record is None and username.startswith(prefix) and not service.inventory.was_revoked(uid):
        record = await service.lookup.find(username.removeprefix(prefix))
    if record is None or record.uid != uid or username != prefix + record.id:
        return {"active": False, "reason": "invalid_token"}
    if record.expires_at <= time.time():
        return {"active": False, "reason": "expired"}
    standing = service.standings.of(record)
    if standing.tier is None:
        return {"active": False, "reason": "no_tier"}
    return {
        "active": True,
        "id": record.id,
        "owner": record.owner,
        "tier": standing.tier.name,
        "groups": [*standing.groups, tier_group(standing.tier.name)],
    }


def _resource(service: Service, model_id: str) -> dict[str, str] | None:
    model = service.catalogue.get(model_id)
    if model is None:
        return None
    return {"resource": model.resource.plural, "namespace": model.namespace, "name": model.name}
