"""Issue, list, look at and revoke one's own MaaS tokens."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError

from app.api import schemas
from app.api.dependencies import CALLER_TOKEN, Caller, Parts, Reader, get_caller, get_service
from app.api.meanwhile import Meanwhile
from app.api.paging import CURSOR_PATTERN, page, start
from app.api.problems import BadRequestError, NoTierError
from app.api.responses import problems
from app.api.token_view import live, token_info
from app.api.validation import InvalidBodyError
from app.identity.user import User
from app.kube.timestamps import timestamp
from app.observability import audit, tracing
from app.service import Service
from app.tokens.chronicle import age
from app.tokens.errors import TokenNotFoundError
from app.tokens.record import MaasToken

router = APIRouter(prefix="/maas-api", tags=["tokens"], dependencies=CALLER_TOKEN)

TokenId = Annotated[str, Path(max_length=253, examples=["alice-sa-1769472000000"])]
Limit = Annotated[int, Query(ge=1, le=500, description="Tokens on one page.")]
Cursor = Annotated[
    str | None,
    Query(alias="continue", pattern=CURSOR_PATTERN, description="`continue` of the page before."),
]

# Gateways give up on an answer after half a minute.
_REVOKING_SECONDS = 20

# The body is read by hand: `curl -d` sends JSON as a form unless told otherwise, and no body at all is fine.
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": schemas.IssueRequest.model_json_schema(by_alias=True)}},
    }
}


async def read_issue_request(request: Request) -> schemas.IssueRequest:
    """The body, which may be empty."""
    body = await request.body()
    if not body.strip():
        return schemas.IssueRequest()
    try:
        document = orjson.loads(body)
    except ValueError:
        raise BadRequestError(
            'The body is not JSON; expected an object such as {"name": "laptop", "expiration": "4h"}.'
        ) from None
    try:
        return schemas.IssueRequest.model_validate(document)
    except ValidationError as error:
        raise InvalidBodyError(error) from None


@router.post(
    "/token",
    status_code=201,
    response_model=schemas.IssuedToken,
    responses=problems(403, 409, 422),
    summary="Get a MaaS token",
    openapi_extra=_BODY,
)
async def issue(request: Request) -> Response:
    """Exchange your cluster token for a MaaS token, which calls models. It is shown once: keep it."""
    # What everybody waits for: FastAPI's way of calling dependencies would be a sixth of its cost.
    service = await get_service(request)
    async with Meanwhile(read_issue_request(request), name="issue request") as reading:
        caller = await get_caller(request, service)
        wanted = await reading
    service.decisions.check()  # How many tokens the caller holds is a decision too.
    standing = service.standings.of_user(caller)
    tier = standing.tier
    if tier is None:
        raise NoTierError
    tracing.note({"maas.tier": tier.name})
    issued = await service.issuer.issue(
        caller.username,
        groups=standing.groups,
        cluster_groups=service.standings.cluster_groups(standing.groups) or (),
        tier=tier.name,
        name=wanted.name,
        seconds=wanted.expiration,
        max_tokens=tier.max_tokens or service.settings.tokens.max_per_owner,
    )
    record = issued.record
    expires_at = timestamp(record.expires_at)
    service.metrics.note_issued(tier.name)
    audit.granted(
        caller.username, token_id=record.id, token=issued.jwt, tier=tier.name, expires_at=expires_at
    )
    document = {
        "token": issued.jwt,
        "tier": tier.name,
        "expiresAt": expires_at,
        "id": record.id,
        "name": record.name,
    }
    return Response(
        orjson.dumps(document),
        status_code=201,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


@router.get("/tokens", responses=problems(422), summary="List your tokens")
async def list_tokens(
    service: Parts, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.TokenList:
    """Your live tokens, oldest first, without their secrets."""
    tokens = live(service.inventory.of_owner(caller.username))
    shown, following = page(tokens, age, limit=limit, after=start(cursor))
    return schemas.TokenList(tokens=[token_info(service, token) for token in shown], next_page=following)


@router.delete("/tokens", responses=problems(), summary="Revoke all your tokens")
async def revoke_all(service: Parts, caller: Caller) -> schemas.Revocation:
    """Revoke every token of yours; they stop working at once."""
    return await revoke_many(service, caller, await service.lookup.of_owner(caller.username))


@router.get("/tokens/{id}", responses=problems(404, 422), summary="Look at one token")
async def show(
    service: Parts, caller: Reader, token_id: Annotated[TokenId, Path(alias="id")]
) -> schemas.TokenInfo:
    """One live token of yours."""
    return token_info(service, await _own(service, caller, token_id))


@router.delete("/tokens/{id}", status_code=204, responses=problems(404, 422), summary="Revoke one token")
async def revoke(service: Parts, caller: Caller, token_id: Annotated[TokenId, Path(alias="id")]) -> None:
    """Revoke this token and no other; the next request that uses it is refused."""
    token = await _own(service, caller, token_id)
    await service.revoker.revoke(token)
    note_revoked(service, caller, token)


async def revoke_many(service: Service, actor: User, tokens: list[MaasToken]) -> schemas.Revocation:
    """Revoke `tokens` in the name of `actor`."""
    count = await service.revoker.revoke_all(
        tokens,
        seconds=_REVOKING_SECONDS,
        on_revoked=lambda token: note_revoked(service, actor, token),
    )
    return schemas.Revocation(revoked=count)


def note_revoked(service: Service, actor: User, token: MaasToken) -> None:
    """Count and audit one revocation."""
    service.metrics.tokens_revoked.inc()
    audit.revoked(actor.username, token_id=token.id, owner=token.owner)


async def _own(service: Service, caller: User, token_id: str) -> MaasToken:
    """The caller's live token of this id; someone else's does not exist for them."""
    token = await service.lookup.find(token_id)
    if token is None or token.owner != caller.username or not any(live([token])):
        raise TokenNotFoundError("You have no live token of this id; GET /maas-api/tokens lists yours.")
    return token
