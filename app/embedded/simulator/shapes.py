"""The two shapes of an answer in OpenAI's API: of a chat, and of a plain completion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.embedded.simulator.generation import Choice, Generation


class Shape(ABC):
    """How one kind of answer is written.

    Args:
        identifier: The id of the answer.
        created: When it was made, in seconds since 1970.
        model: The model that was asked for.
    """

    kind: str
    chunk_kind: str

    def __init__(self, identifier: str, created: int, model: str) -> None:
        self._head = {"id": identifier, "created": created, "model": model}

    def whole(self, generation: Generation) -> dict[str, Any]:
        """Return the answer in one piece."""
        return {
            **self._head,
            "object": self.kind,
            "choices": [self._choice(choice) for choice in generation.choices],
            "usage": generation.usage,
        }

    def chunk(self, *choices: dict[str, Any], usage: dict[str, int] | None = None) -> dict[str, Any]:
        """Return one chunk of a streamed answer."""
        chunk = {**self._head, "object": self.chunk_kind, "choices": list(choices)}
        return chunk if usage is None else {**chunk, "usage": usage}

    @abstractmethod
    def opening(self, choice: Choice) -> list[dict[str, Any]]:
        """Return what a streamed answer begins with, before its first token."""

    @abstractmethod
    def piece(self, choice: Choice, text: str) -> dict[str, Any]:
        """Return the part of a chunk that carries one token."""

    @abstractmethod
    def closing(self, choice: Choice) -> dict[str, Any]:
        """Return the part of a chunk that says how the answer ended."""

    @abstractmethod
    def _choice(self, choice: Choice) -> dict[str, Any]: ...


class ChatShape(Shape):
    """An answer of `/v1/chat/completions`."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def opening(self, choice: Choice) -> list[dict[str, Any]]:
        """Return who speaks."""
        return [self._delta(choice, {"role": "assistant", "content": ""})]

    def piece(self, choice: Choice, text: str) -> dict[str, Any]:
        """Return the token as more content."""
        return self._delta(choice, {"content": text})

    def closing(self, choice: Choice) -> dict[str, Any]:
        """Return the reason of the end, with no more content."""
        return self._delta(choice, {}, choice.finish_reason)

    def _choice(self, choice: Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text}
        return {"index": choice.index, "message": message, **_ending(choice.finish_reason)}

    def _delta(self, choice: Choice, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        return {"index": choice.index, "delta": delta, **_ending(reason)}


class CompletionShape(Shape):
    """An answer of `/v1/completions`."""

    kind = "text_completion"
    chunk_kind = "text_completion"

    def opening(self, choice: Choice) -> list[dict[str, Any]]:
        """Return nothing: the text begins with its first token."""
        del choice
        return []

    def piece(self, choice: Choice, text: str) -> dict[str, Any]:
        """Return the token as more text."""
        return {"index": choice.index, "text": text, **_ending(None)}

    def closing(self, choice: Choice) -> dict[str, Any]:
        """Return the reason of the end, with no more text."""
        return {"index": choice.index, "text": "", **_ending(choice.finish_reason)}

    def _choice(self, choice: Choice) -> dict[str, Any]:
        return {"index": choice.index, "text": choice.text, **_ending(choice.finish_reason)}


def _ending(reason: str | None) -> dict[str, Any]:
    return {"logprobs": None, "finish_reason": reason}
