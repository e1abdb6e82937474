"""What the simulator answers: always the same to the same request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.embedded.simulator import tokens

if TYPE_CHECKING:
    from app.embedded.simulator.requests import ChatRequest, CompletionRequest, GenerationRequest

_ECHOED_TOKENS = 100


@dataclass(frozen=True)
class Choice:
    """One answer.

    Attributes:
        index: Its place among the answers.
        pieces: Its tokens, in order.
        finish_reason: `stop`, or `length` when it was cut.
    """

    index: int
    pieces: tuple[str, ...]
    finish_reason: str

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)


@dataclass(frozen=True)
class Generation:
    """All answers to one request.

    Attributes:
        choices: The answers: as many as were asked for, for each prompt.
        prompt_tokens: Tokens that were read.
    """

    choices: tuple[Choice, ...]
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """Tokens that were written."""
        return sum(len(choice.pieces) for choice in self.choices)

    @property
    def usage(self) -> dict[str, int]:
        """The usage, as OpenAI's API says it."""
        return self.usage_after(self.completion_tokens)

    def usage_after(self, written: int) -> dict[str, int]:
        """Return the usage of the moment when so many tokens have been written."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        }


def generate(request: ChatRequest | CompletionRequest) -> Generation:
    """Return the answers to `request`."""
    prompts = [prompt for prompt in request.prompts for _ in range(request.n)]
    return Generation(
        choices=tuple(_choice(index, prompt, request) for index, prompt in enumerate(prompts)),
        prompt_tokens=request.prompt_tokens,
    )


def _choice(index: int, prompt: str, request: GenerationRequest) -> Choice:
    text = _reply(request.model, prompt)
    cuts = [text.index(stop) for stop in request.stops if stop in text]
    if cuts:
        text = text[: min(cuts)]
    pieces = tokens.split(text)
    if request.limit is not None and len(pieces) > request.limit:
        return Choice(index, tuple(pieces[: request.limit]), "length")
    return Choice(index, tuple(pieces), "stop")


def _reply(model: str, prompt: str) -> str:
    echoed = tokens.split(prompt.strip())
    if not echoed:
        return f"Hello! This is {model}, simulated. What would you like to know?"
    more = " …" if len(echoed) > _ECHOED_TOKENS else ""
    said = "".join(echoed[:_ECHOED_TOKENS]) + more
    return f"Hello! This is {model}, simulated. You said: {said}"
