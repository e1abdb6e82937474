"""What endpoints ask for: the parts of the service, and who is calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from app.api.bearer import caller_token, maas_token
from app.api.problems import ForbiddenError, NoTierError
from app.identity.access_review import Access
from app.identity.user import User
from app.kube.resources import SERVICE_ACCOUNTS
from app.observability import tracing
from app.service import Service
from app.tiers.mapping import Tier
from app.tokens.record import MaasToken

# These only describe the header in the OpenAPI document; `app.api.bearer` reads them.
CALLER_TOKEN = [
    Security(
        HTTPBearer(
            scheme_name="callerToken",
            description=(
                "Your own cluster token (`oc whoami -t`). An authenticating proxy may send it as "
                "`X-Forwarded-Access-Token` instead; where both are sent they must be the same."
            ),
            auto_error=False,
        )
    )
]
MAAS_TOKEN = [
    Security(
        HTTPBearer(
            scheme_name="maasToken",
            description="A MaaS token, from `POST /maas-api/token`.",
            auto_error=False,
        )
    )
]


async def get_service(request: Request) -> Service:
    """The parts of the running service."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(get_service)]


async def get_caller(request: Request, service: Parts) -> User:
    """The caller, as a TokenReview of the last seconds names them; for what changes something."""
    user = await service.token_reviewer.review(caller_token(request.scope["headers"]))
    request.scope["actor"] = user.username
    tracing.note_user(user.username)
    return user


async def get_reader(request: Request, service: Parts) -> User:
    """The caller, who may be remembered while the Kubernetes API is away; for what only reads."""
    user = await service.token_reviewer.review(
        caller_token(request.scope["headers"]), remember_seconds=service.settings.kube.staleness_seconds
    )
    request.scope["actor"] = user.username
    tracing.note_user(user.username)
    service.decisions.check()
    return user


Caller = Annotated[User, Depends(get_caller)]
Reader = Annotated[User, Depends(get_reader)]


async def get_tier(service: Parts, caller: Reader) -> Tier:
    """The caller's tier by the mapping in force."""
    tier = service.standings.of_user(caller).tier
    if tier is None:
        raise NoTierError
    return tier


CallerTier = Annotated[Tier, Depends(get_tier)]


async def get_holder(request: Request, service: Parts) -> MaasToken:
    """The live MaaS token of the request."""
    token = maas_token(request.scope["headers"])
    service.decisions.check()
    record = await service.verifier.verify(token)
    request.scope["actor"] = record.owner
    tracing.note_user(record.owner)
    return record


Holder = Annotated[MaasToken, Depends(get_holder)]


async def get_admin_reader(service: Parts, reader: Reader) -> User:
    """A caller who may list the ServiceAccounts of MaaS tokens."""
    return await _admin(service, reader, "list", service.access_reviewer.allowed)


async def get_admin(service: Parts, caller: Caller) -> User:
    """A caller who may delete the ServiceAccounts of MaaS tokens."""
    return await _admin(service, caller, "delete", service.access_reviewer.allowed_now)


AdminReader = Annotated[User, Depends(get_admin_reader)]
Admin = Annotated[User, Depends(get_admin)]


async def _admin(
    service: Service, user: User, verb: str, allowed: Callable[[Access], Awaitable[bool]]
) -> User:
    namespace = service.settings.namespace
    access = Access(
        username=user.username,
        groups=user.groups,
        verb=verb,
        group=SERVICE_ACCOUNTS.group,
        resource=SERVICE_ACCOUNTS.plural,
        namespace=namespace,
    )
    if not await allowed(access):
        raise ForbiddenError(f"You may not {verb} serviceaccounts in namespace {namespace}.")
    return user
