"""Real traffic of people, and a ledger of what they saw."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.maasctl import question

if TYPE_CHECKING:
    import httpx

    from tests.maasctl import Up
    from tests.workspace import Caller


@dataclass
class Ledger:
    """What clients saw.

    Attributes:
        answers: requests of people the gateway knows, by user, tier, model and status.
        refused: requests that were refused before it was known whose or for which model, by status.
        tokens: the sums of the `usage` objects, by user, tier, model and type.
        unmetered: good answers without `usage`, by user, tier and model.
    """

    answers: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    unmetered: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def __sub__(self, earlier: Ledger) -> Ledger:
        """What came since."""
        return Ledger(
            self.answers - earlier.answers,
            self.refused - earlier.refused,
            self.tokens - earlier.tokens,
            self.unmetered - earlier.unmetered,
        )

    def copy(self) -> Ledger:
        return self - Ledger()


@dataclass(frozen=True)
class Person:
    """Someone with a MaaS token, who writes down what they see."""

    user: str
    tier: str
    caller: Caller
    ledger: Ledger

    async def chat(self, model: str, content: str = "Hello!", **options: Any) -> int:
        return await self._send("/v1/chat/completions", question(model, content, **options))

    async def stream(self, model: str, content: str = "Hello!", *, usage: bool) -> int:
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
        return await self.chat(model, content, stream=True, **options)

    async def complete(self, model: str, prompt: str, **options: Any) -> int:
        return await self._send("/v1/completions", {"model": model, "prompt": prompt, **options})

    async def embed(self, model: str, *texts: str) -> int:
        return await self._send("/v1/embeddings", {"model": model, "input": list(texts)})

    async def _send(self, path: str, body: dict[str, Any]) -> int:
        answer = await self.caller.request("POST", path, json=body)
        status = answer.status_code
        who = (self.user, self.tier, body["model"])
        if status not in {200, 429}:
            self.ledger.refused[status] += 1
            return status
        self.ledger.answers[*who, status] += 1
        if status == 200:
            usage = _usage(answer)
            if usage is None:
                self.ledger.unmetered[who] += 1
            for kind, key in (("prompt", "prompt_tokens"), ("completion", "completion_tokens")):
                self.ledger.tokens[*who, kind] += (usage or {}).get(key, 0)
        return status


async def person(up: Up, ledger: Ledger, name: str, tier: str) -> Person:
    """One of the people that come with the embedded cluster, with a new MaaS token."""
    return Person(name, tier, await up.holder(f"sha256~{name}"), ledger)


def _usage(answer: httpx.Response) -> dict[str, int] | None:
    """The `usage` that the client was told, in one piece or in the last chunk of a stream."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        found: dict[str, int] | None = answer.json().get("usage")
        return found
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    said = [event["usage"] for event in map(json.loads, events) if event.get("usage")]
    return said[-1] if said else None
