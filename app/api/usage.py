"""What was used, and what it costs: one's own, and everybody's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, WithJsonSchema

from app.api import usage_csv, usage_schemas
from app.api.dependencies import CALLER_TOKEN, AdminReader, Parts, Reader
from app.api.responses import problems
from app.identity.user import User
from app.kube.timestamps import timestamp
from app.service import Service
from app.tokens.duration import parse_duration
from app.usage.amounts import Amounts
from app.usage.meter import Key, Usage
from app.usage.prices import PriceList, plain
from app.usage.promql import Label
from app.usage.window import Window

router = APIRouter(prefix="/maas-api", tags=["usage"], dependencies=CALLER_TOKEN)

_DAY = 24 * 60 * 60
_BY = (Label.USER, Label.TIER, Label.MODEL)
# Forms that are always accepted; there are more.
_DURATION = {"type": "string", "pattern": "^([1-9]|[12][0-9]|3[01])d$|^([1-9]|[1-9][0-9])h$|^[1-9][0-9]?m$"}

Seconds = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(_DURATION)]
WindowSeconds = Annotated[
    Seconds, Query(alias="window", description="How far back: `15m`, `24h`, `7d`.", examples=["24h"])
]
StepSeconds = Annotated[
    Seconds | None,
    Query(alias="step", description="Length of each step; the window is a multiple of it.", examples=["1h"]),
]
UserName = Annotated[str | None, Query(min_length=1, max_length=1024)]
TierName = Annotated[str | None, Query(min_length=1, max_length=63)]
ModelId = Annotated[str | None, Query(min_length=1, max_length=320)]
By = Annotated[
    list[Literal["user", "tier", "model"]],
    Query(max_length=3, description="What rows are told apart by; may be repeated."),
]
_CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "model": usage_schemas.AllUsage,
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "description": "JSON, or CSV where `Accept` names `text/csv`.",
    }
}


@router.get("/usage", responses=problems(422, 501), summary="Your usage")
async def my_usage(
    service: Parts,
    caller: Reader,
    window_seconds: WindowSeconds = _DAY,
    step: StepSeconds = None,
    model: ModelId = None,
) -> usage_schemas.OwnUsage:
    """What you have used, by model, its cost at the prices in force now, and what is left of your limits.

    It comes from the gateway's counters, read some times a minute: the last requests are not in it.
    """
    window = _window(service, window_seconds, step)
    usage, limits = await asyncio.gather(
        service.meter.usage(window, by=(Label.MODEL,), user=caller.username, model=model),
        _limits(service, caller),
    )
    prices = service.prices.prices
    rows = {key[0]: amounts for key, amounts in usage.rows().items()}
    return usage_schemas.OwnUsage(
        **_about(usage, prices, rows),
        total=usage_schemas.UsageAmounts(**_sum(prices, rows)),
        models=[
            usage_schemas.ModelUsage(model=name, **_sum(prices, {name: part})) for name, part in rows.items()
        ],
        steps=_steps(usage, prices),
        limits=limits,
    )


@router.get(
    "/admin/usage", tags=["admin"], responses={**problems(403, 422, 501), **_CSV}, summary="Everybody's usage"
)
async def all_usage(  # a parameter each
    *,
    request: Request,
    service: Parts,
    _admin: AdminReader,
    window_seconds: WindowSeconds = _DAY,
    by: By = ["user"],  # noqa: B006  # FastAPI copies it
    user: UserName = None,
    tier: TierName = None,
    model: ModelId = None,
) -> Response:
    """What everybody has used, told apart by user, tier and model, and its cost at the prices in force now.

    With `Accept: text/csv` it is a table for chargeback. At most 10,000 rows are given at once.
    """
    columns = [label for label in _BY if label in by]
    window = _window(service, window_seconds, None)
    # Each model has a price of its own.
    asked = columns if Label.MODEL in columns else [*columns, Label.MODEL]
    usage = await service.meter.usage(window, by=asked, user=user, tier=tier, model=model)
    prices = service.prices.prices
    as_csv = usage_csv.prefers_csv(request.headers.get("accept", ""))
    # Ten thousand rows would hold up everybody.
    body = await asyncio.to_thread(_render, usage, prices, columns, as_csv=as_csv)
    headers = {"Vary": "Accept"}
    if as_csv:
        headers["Content-Disposition"] = 'attachment; filename="maas-usage.csv"'
    return Response(body, media_type=usage_csv.MEDIA_TYPE if as_csv else "application/json", headers=headers)


def _window(service: Service, seconds: int, step: int | None) -> Window:
    window = service.meter.window(seconds, step)
    window.check(service.settings.usage.max_window_seconds)
    return window


def _render(usage: Usage, prices: PriceList, columns: list[Label], *, as_csv: bool) -> bytes:
    groups: defaultdict[Key, dict[str, Amounts]] = defaultdict(dict)
    models: defaultdict[str, Amounts] = defaultdict(Amounts)
    for key, amounts in usage.rows().items():
        # The model is the last part of the key, whether it was asked for or not.
        groups[key[: len(columns)]][key[-1]] = amounts
        models[key[-1]] += amounts
    rows = [
        {**dict(zip(map(str, columns), key, strict=True)), **_sum(prices, parts)}
        for key, parts in sorted(groups.items())
    ]
    if as_csv:
        return usage_csv.table(columns, prices.currency, rows)
    document = {**_about(usage, prices, models), "by": columns, "total": _sum(prices, models), "rows": rows}
    return orjson.dumps(document)


def _about(usage: Usage, prices: PriceList, models: Mapping[str, Amounts]) -> dict[str, Any]:
    """The fields of `usage_schemas.UsageWindow`."""
    unpriced = [name for name, part in models.items() if part.chargeable and name not in prices.models]
    return {
        "from": timestamp(usage.window.start),
        "to": timestamp(usage.window.end),
        "complete": usage.complete,
        "currency": prices.currency or None,
        "unpriced": sorted(unpriced),
    }


def _sum(prices: PriceList, parts: Mapping[str, Amounts]) -> dict[str, Any]:
    """The fields of `usage_schemas.UsageAmounts`."""
    amounts = _together(parts.values())
    cost = prices.total(parts)
    return {
        "requests": amounts.requests,
        "refused": amounts.refused,
        "promptTokens": amounts.prompt_tokens,
        "completionTokens": amounts.completion_tokens,
        "unmetered": amounts.unmetered,
        "cost": None if cost is None else plain(cost),
        "exact": amounts.exact,
    }


def _together(parts: Iterable[Amounts]) -> Amounts:
    return sum(parts, Amounts())


def _steps(usage: Usage, prices: PriceList) -> list[usage_schemas.UsageStep] | None:
    step = usage.window.step
    if step is None:
        return None
    return [
        usage_schemas.UsageStep(
            **{"from": timestamp(end - step), "to": timestamp(end)},
            **_sum(prices, {key[0]: amounts for key, amounts in parts.items()}),
        )
        for end, parts in usage.steps
    ]


async def _limits(service: Service, caller: User) -> usage_schemas.RemainingLimits | None:
    tier = service.standings.of_user(caller).tier
    if tier is None:
        return None
    minute = await service.meter.last_minute(caller.username, tokens=tier.tokens_per_minute is not None)
    return usage_schemas.RemainingLimits(
        tier=tier.name,
        as_of=None if minute.as_of is None else timestamp(minute.as_of),
        requests_per_minute=_remaining(tier.requests_per_minute, minute.requests),
        tokens_per_minute=_remaining(tier.tokens_per_minute, minute.tokens),
    )


def _remaining(limit: int | None, used: int | None) -> usage_schemas.Remaining | None:
    if limit is None:
        return None
    remaining = None if used is None else max(0, limit - used)
    return usage_schemas.Remaining(limit=limit, used=used, remaining=remaining)
