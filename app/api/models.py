"""The models one may use, and an answer for those that do not exist."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from app.api import schemas
from app.api.dependencies import MAAS_TOKEN, Holder, Parts
from app.api.problems import ModelNotFoundError, NoTierError
from app.api.responses import openai_errors
from app.models.catalogue import Model
from app.service import Service
from app.tokens.record import MaasToken

router = APIRouter(prefix="/v1", tags=["models"], dependencies=MAAS_TOKEN)


@router.get("/models", responses=openai_errors(), summary="Models you may use")
async def list_models(service: Parts, holder: Holder) -> schemas.ModelList:
    """The models that the owner of this MaaS token may call, as OpenAI lists models."""
    return schemas.ModelList(data=[_describe(*entry) for entry in await _usable(service, holder)])


@router.get("/models/{model:path}", responses=openai_errors(404, 422), summary="One model")
async def show_model(
    service: Parts, holder: Holder, model_id: Annotated[str, Path(alias="model", max_length=320)]
) -> schemas.ModelInfo:
    """One model, if the owner of this MaaS token may call it."""
    for found_id, model in await _usable(service, holder):
        if found_id == model_id:
            return _describe(found_id, model)
    raise ModelNotFoundError(model_id)


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def no_such_model(request: Request, _holder: Holder) -> None:
    """What the gateway has no route for: its model does not exist (any more)."""
    raise ModelNotFoundError(request.headers.get("x-maas-model", "") or request.url.path)


async def _usable(service: Service, holder: MaasToken) -> list[tuple[str, Model]]:
    standing = service.standings.of(holder)
    if standing.tier is None:
        raise NoTierError
    return await service.model_access.usable(
        owner=holder.owner, groups=standing.groups, tier=standing.tier.name
    )


def _describe(model_id: str, model: Model) -> schemas.ModelInfo:
    return schemas.ModelInfo(
        id=model_id, created=model.created_at, owned_by=model.namespace, ready=model.ready
    )
