"""What clients send, as far as the simulator looks at it; other fields are accepted and ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from app.embedded.simulator import tokens
from app.embedded.simulator.errors import bad_request, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

ModelName = Annotated[str, Field(min_length=1, max_length=256)]
MaxTokens = Annotated[int, Field(ge=1)]


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Message(BaseModel):
    """One message of a conversation."""

    role: str = Field(min_length=1)
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The text of the message; pictures and sounds have none."""
        if isinstance(self.content, list):
            return " ".join(str(part["text"]) for part in self.content if part.get("type") == "text")
        return self.content or ""


class GenerationRequest(BaseModel):
    """What both kinds of completion have in common."""

    model: ModelName
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: MaxTokens | None = None
    n: int = Field(1, ge=1, le=16)

    @property
    def limit(self) -> int | None:
        """The most tokens that an answer may have, None for no limit."""
        return self.max_tokens

    @property
    def stops(self) -> list[str]:
        """The texts at which an answer ends."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that says the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def continuous_usage(self) -> bool:
        """Whether every chunk of the stream says the usage so far, as vLLM can."""
        return (
            self.include_usage
            and self.stream_options is not None
            and self.stream_options.continuous_usage_stats
        )


class ChatRequest(GenerationRequest):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: MaxTokens | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens that an answer may have, None for no limit."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def prompts(self) -> list[str]:
        """What is answered: the last message of the user, or else the last message."""
        own = [message.text for message in self.messages if message.role == "user"]
        return [own[-1] if own else self.messages[-1].text]

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the whole conversation has."""
        return sum(tokens.count(message.text) for message in self.messages)


class CompletionRequest(GenerationRequest):
    """`POST /v1/completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]

    @property
    def prompts(self) -> list[str]:
        """What is answered, one answer each; token ids have no text here."""
        if isinstance(self.prompt, list) and not (self.prompt and isinstance(self.prompt[0], int)):
            return [prompt if isinstance(prompt, str) else "" for prompt in self.prompt]
        return [self.prompt if isinstance(self.prompt, str) else ""]

    @property
    def prompt_tokens(self) -> int:
        """How many tokens all prompts have together."""
        if isinstance(self.prompt, str):
            return tokens.count(self.prompt)
        return sum(_tokens(part) for part in self.prompt)


class EmbeddingRequest(BaseModel):
    """`POST /v1/embeddings`."""

    model: ModelName
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    dimensions: int = Field(8, ge=1, le=1024)
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def texts(self) -> list[str]:
        """What is embedded, one vector each."""
        return [self.input] if isinstance(self.input, str) else self.input


RequestModel = TypeVar("RequestModel", bound=BaseModel)


async def parse(kind: type[RequestModel], request: Request, max_bytes: int) -> RequestModel:
    """Return the request's body as a `kind`.

    Raises:
        ApiError: It is larger than `max_bytes`, is not JSON, or lacks something; the message names it.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large(max_bytes)
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Of a union's complaints the first word is the field; the others name pydantic's branches.
        field = str(first["loc"][0]) if first["loc"] else None
        what = f"{field}: {first['msg']}" if field else f"The body cannot be read: {first['msg']}"
        raise bad_request(what, field) from None


def _tokens(part: str | int | list[int]) -> int:
    if isinstance(part, str):
        return tokens.count(part)
    return len(part) if isinstance(part, list) else 1
