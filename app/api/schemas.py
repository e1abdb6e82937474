"""What the public API takes and gives, as its OpenAPI document shows it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from app.tokens.duration import DurationError, parse_duration

_NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]*$"


def _expiration_schema(schema: dict[str, Any]) -> None:
    """Describe the forms that are accepted within the default range; the code accepts a few more."""
    days, hours, minutes = "([1-9]|[12][0-9]|30)d", "([1-9]|[1-9][0-9])h", "[1-9][0-9]m"
    schema["anyOf"] = [
        {"type": "string", "pattern": f"^({days}|{hours}|{minutes})$"},
        {"type": "integer", "minimum": 600, "maximum": 30 * 24 * 60 * 60},
        {"type": "null"},
    ]


class Document(BaseModel):
    """camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class IssueRequest(Document):
    """Both fields may be left out, and so may the whole body."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "laptop", "expiration": "4h"}]}
    )

    name: Annotated[
        str,
        StringConstraints(max_length=64, pattern=_NO_CONTROL_CHARACTERS, strip_whitespace=True, strict=True),
    ] = Field("", description="Your own name for the token, to tell it from others.")
    expiration: int | None = Field(
        None,
        description='Lifetime: `"4h"`, `"90m"`, `"7d"`, or seconds.',
        json_schema_extra=_expiration_schema,
    )

    @field_validator("expiration", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> int | None:
        if value is None:
            return None
        try:
            return parse_duration(value)
        except DurationError as error:
            raise ValueError(str(error)) from None


class IssuedToken(Document):
    """A new MaaS token. It is shown here and never again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "eyJhbGciOiJSUzI1NiIs…",
                    "tier": "free",
                    "expiresAt": "2026-01-28T00:00:00Z",
                    "id": "alice-sa-1769472000000",
                    "name": "laptop",
                }
            ]
        }
    )

    token: str = Field(description="The MaaS token: a ServiceAccount JWT.")
    tier: str = Field(description="Your tier now.")
    expires_at: str = Field(description="When it ends, as the cluster issued it (RFC 3339, UTC).")
    id: str = Field(description="The token's id: the name of its ServiceAccount.")
    name: str = Field(description="Your own name for it.")


class TokenInfo(Document):
    """A token without its secret."""

    id: str
    name: str
    tier: str = Field(description="The tier its owner's groups give by the mapping in force; empty for none.")
    created_at: str
    expires_at: str


class OwnedTokenInfo(TokenInfo):
    """A token of anybody."""

    owner: str


class TokenList(Document):
    """One page of your live tokens, oldest first."""

    tokens: list[TokenInfo]
    next_page: str | None = Field(
        None, alias="continue", description="Send it as `continue` for the next page; null on the last."
    )


class OwnedTokenList(Document):
    """One page of live tokens."""

    tokens: list[OwnedTokenInfo]
    next_page: str | None = Field(
        None, alias="continue", description="Send it as `continue` for the next page; null on the last."
    )


class Revocation(Document):
    """How many tokens were revoked."""

    revoked: int


class Limits(Document):
    """What a tier allows; null where nothing is set."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_tokens: int = Field(description="Live MaaS tokens that one owner may hold.")


class TierInfo(Document):
    """A tier and its limits."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tier": "free",
                    "displayName": "free",
                    "description": "",
                    "limits": {"requestsPerMinute": 10, "tokensPerMinute": None, "maxTokens": 50},
                }
            ]
        }
    )

    tier: str
    display_name: str
    description: str
    limits: Limits


class TierList(Document):
    """All tiers, the lowest first."""

    tiers: list[TierInfo]


class ModelInfo(BaseModel):
    """A model, as OpenAI's `GET /v1/models` describes it."""

    id: str
    object: str = "model"
    created: int = Field(description="Seconds since the epoch.")
    owned_by: str = Field(description="The namespace it lives in.")
    ready: bool = Field(description="Whether it can answer now.")


class ModelList(BaseModel):
    """The models you may use."""

    object: str = "list"
    data: list[ModelInfo]


class ProblemDocument(BaseModel):
    """RFC 9457 with a stable `code`."""

    type: str = Field(examples=["urn:privatemaas:problem:invalid_token"])
    title: str = Field(examples=["Unauthorized"])
    status: int = Field(examples=[401])
    detail: str = Field(examples=["The cluster does not accept this caller token; log in again."])
    code: str = Field(examples=["invalid_token"])
    requestId: str = Field(description="The answer's `x-request-id`.")  # noqa: N815  # on the wire
    traceId: str | None = Field(None, description="The trace it belongs to, if there is one.")  # noqa: N815


class OpenAIErrorBody(BaseModel):
    """The inside of an OpenAI error."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """An error of `/v1`."""

    error: OpenAIErrorBody
    requestId: str = Field(description="The answer's `x-request-id`.")  # noqa: N815
    traceId: str | None = Field(None, description="The trace it belongs to, if there is one.")  # noqa: N815
