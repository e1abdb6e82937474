"""What the usage endpoints give."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas import Document

_AMOUNTS: dict[str, Any] = {
    "requests": 130,
    "refused": 4,
    "promptTokens": 5210,
    "completionTokens": 18042,
    "unmetered": 0,
    "cost": "0.029668",
    "exact": True,
}
_WINDOW: dict[str, Any] = {
    "from": "2026-01-27T00:00:00Z",
    "to": "2026-01-28T00:00:00Z",
    "complete": True,
    "currency": "USD",
    "unpriced": [],
}


class UsageAmounts(Document):
    """How much was used, and what it costs."""

    requests: int = Field(description="Requests to models, the refused ones too.")
    refused: int = Field(description="Those of them that a limit refused (429).")
    prompt_tokens: int = Field(description="Tokens that models have read, as they say themselves.")
    completion_tokens: int = Field(description="Tokens that models have written, as they say themselves.")
    unmetered: int = Field(description="Answers that did not say how many tokens they took.")
    cost: str | None = Field(
        description="At the prices in force now: a decimal number with all of its digits, never rounded; "
        "null without a price. A sum is of what has a price."
    )
    exact: bool = Field(
        description="Whether everything was counted. If not, a gateway has begun to count anew, and the part "
        "around that is an estimate."
    )


class ModelUsage(UsageAmounts):
    """How much of one model was used."""

    model: str


class UsageStep(UsageAmounts):
    """How much was used in one step."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")


class Remaining(Document):
    """What is left of a limit."""

    limit: int = Field(description="What your tier allows in a minute.")
    used: int | None = Field(description="What you have used in the minute before `asOf`; null if not known.")
    remaining: int | None


class RemainingLimits(Document):
    """What is left of your limits, by counters that are read some times a minute."""

    tier: str
    as_of: str | None = Field(
        description="When the gateway's counters were read last; null if not in the last minutes."
    )
    requests_per_minute: Remaining | None
    tokens_per_minute: Remaining | None


class UsageWindow(Document):
    """When, and how far it can be relied upon."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    complete: bool = Field(
        description="Whether counters were recorded at the beginning of the window already. If not, what was "
        "counted before may be in here, or something may be missing."
    )
    currency: str | None = Field(description="What costs are in; null where there are no prices.")
    unpriced: list[str] = Field(description="Models that were used and have no price: no sum includes them.")


class OwnUsage(UsageWindow):
    """What you have used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_WINDOW,
                    "total": _AMOUNTS,
                    "models": [{"model": "qwen3", **_AMOUNTS}],
                    "steps": None,
                    "limits": {
                        "tier": "free",
                        "asOf": "2026-01-27T23:59:50Z",
                        "requestsPerMinute": {"limit": 10, "used": 3, "remaining": 7},
                        "tokensPerMinute": None,
                    },
                }
            ]
        }
    )

    total: UsageAmounts
    models: list[ModelUsage] = Field(description="By model, in the order of their ids.")
    steps: list[UsageStep] | None = Field(
        description="All models together, step by step; they add up to `total`. Null if there is no step."
    )
    limits: RemainingLimits | None = Field(description="Null if you have no tier.")


class UsageRow(UsageAmounts):
    """How much somebody, a tier or a model has used; what was not asked for is left out."""

    user: str | None = Field(None, description="Empty for requests that were refused before it was known.")
    tier: str | None = None
    model: str | None = None


class AllUsage(UsageWindow):
    """What everybody has used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_WINDOW,
                    "by": ["user", "model"],
                    "total": _AMOUNTS,
                    "rows": [{"user": "alice@example.com", "model": "qwen3", **_AMOUNTS}],
                }
            ]
        }
    )

    by: list[str]
    total: UsageAmounts
    rows: list[UsageRow] = Field(description="In the order of what they are told apart by.")
