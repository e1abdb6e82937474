"""The simulator as an ASGI application: a model server that needs no model."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.embedded.simulator import tokens
from app.embedded.simulator.embeddings import embed, to_base64
from app.embedded.simulator.errors import ApiError, respond, unknown_model
from app.embedded.simulator.generation import generate
from app.embedded.simulator.metrics import Metrics
from app.embedded.simulator.requests import ChatRequest, CompletionRequest, EmbeddingRequest, parse
from app.embedded.simulator.shapes import ChatShape, CompletionShape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from app.embedded.simulator.generation import Choice, Generation
    from app.embedded.simulator.metrics import RequestMeter
    from app.embedded.simulator.shapes import Shape


@dataclass(frozen=True)
class SimulatorSettings:
    """What the simulated server serves, and how fast.

    Attributes:
        models: The names it serves; without any it answers to every name.
        first_token_seconds: How long the first token takes.
        token_seconds: How long each further token takes.
        max_body_bytes: The largest request it reads.
        force_include_usage: Whether every chunk of a stream, and one more at its end, says the usage,
            whatever the client asks for; vLLM's option of that name.
    """

    models: tuple[str, ...] = ()
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    max_body_bytes: int = 16 * 1024 * 1024
    force_include_usage: bool = False


@dataclass(frozen=True)
class Clock:
    """Where the simulator has its time from.

    Attributes:
        wall: Seconds since 1970.
        monotonic: Seconds that only ever grow.
        sleep: Waits for some seconds.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep


def create_simulator(settings: SimulatorSettings | None = None, clock: Clock | None = None) -> ASGIApp:
    """Return a server of `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models`.

    It also has `/health` and `/metrics`, and answers the same to the same request.
    """
    simulator = _Simulator(settings or SimulatorSettings(), clock or Clock())
    return Starlette(
        routes=[
            Route("/v1/chat/completions", simulator.chat, methods=["POST"]),
            Route("/v1/completions", simulator.complete, methods=["POST"]),
            Route("/v1/embeddings", simulator.embeddings, methods=["POST"]),
            Route("/v1/models", simulator.list_models),
            Route("/health", simulator.health),
            Route("/metrics", simulator.metrics),
        ],
        exception_handlers={ApiError: respond},
    )


class _Simulator:
    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = Metrics(clock.monotonic)
        self._numbers = itertools.count(1)
        self._started = int(clock.wall())

    async def chat(self, request: Request) -> Response:
        asked = await parse(ChatRequest, request, self._settings.max_body_bytes)
        return await self._answer(asked, ChatShape(*self._head("chatcmpl", asked.model)))

    async def complete(self, request: Request) -> Response:
        asked = await parse(CompletionRequest, request, self._settings.max_body_bytes)
        return await self._answer(asked, CompletionShape(*self._head("cmpl", asked.model)))

    async def embeddings(self, request: Request) -> Response:
        asked = await parse(EmbeddingRequest, request, self._settings.max_body_bytes)
        self._ensure_served(asked.model)
        used = sum(tokens.count(text) for text in asked.texts)
        with self._metrics.request(asked.model) as meter:
            vectors = await asyncio.to_thread(lambda: [embed(text, asked.dimensions) for text in asked.texts])
            meter.finished(read=used, written=0, reasons=["stop"])
        return JSONResponse(
            {
                "object": "list",
                "model": asked.model,
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": to_base64(vector) if asked.encoding_format == "base64" else vector,
                    }
                    for index, vector in enumerate(vectors)
                ],
                "usage": {"prompt_tokens": used, "total_tokens": used},
            }
        )

    async def list_models(self, _: Request) -> Response:
        data = [
            {"id": name, "object": "model", "created": self._started, "owned_by": "simulator"}
            for name in self._settings.models
        ]
        return JSONResponse({"object": "list", "data": data})

    async def health(self, _: Request) -> Response:
        return Response()

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def _answer(self, asked: ChatRequest | CompletionRequest, shape: Shape) -> Response:
        self._ensure_served(asked.model)
        generation = generate(asked)
        if asked.stream:
            events = self._events(asked, generation, shape)
            return StreamingResponse(events, media_type="text/event-stream", headers=_NO_CACHE)
        with self._metrics.request(asked.model) as meter:
            for choice in generation.choices:
                async with aclosing(self._paced(choice, meter)) as pieces:
                    async for _ in pieces:
                        pass
            _finish(meter, generation)
        return JSONResponse(shape.whole(generation))

    async def _events(
        self, asked: ChatRequest | CompletionRequest, generation: Generation, shape: Shape
    ) -> AsyncGenerator[str]:
        forced, written = self._settings.force_include_usage, 0

        def event(part: dict[str, Any]) -> str:
            said = generation.usage_after(written) if forced or asked.continuous_usage else None
            return _event(shape.chunk(part, usage=said))

        with self._metrics.request(asked.model) as meter:
            for choice in generation.choices:
                for part in shape.opening(choice):
                    yield event(part)
                async with aclosing(self._paced(choice, meter)) as pieces:
                    async for piece in pieces:
                        written += 1
                        yield event(shape.piece(choice, piece))
                yield event(shape.closing(choice))
            _finish(meter, generation)
            if forced or asked.include_usage:
                yield _event(shape.chunk(usage=generation.usage))
            yield "data: [DONE]\n\n"

    async def _paced(self, choice: Choice, meter: RequestMeter) -> AsyncGenerator[str]:
        delay = self._settings.first_token_seconds
        for piece in choice.pieces:
            if delay:
                await self._clock.sleep(delay)
            delay = self._settings.token_seconds
            meter.token()
            yield piece

    def _head(self, prefix: str, model: str) -> tuple[str, int, str]:
        return f"{prefix}-{next(self._numbers):08d}", int(self._clock.wall()), model

    def _ensure_served(self, model: str) -> None:
        if self._settings.models and model not in self._settings.models:
            raise unknown_model(model)


_NO_CACHE = {"cache-control": "no-cache"}


def _finish(meter: RequestMeter, generation: Generation) -> None:
    meter.finished(
        read=generation.prompt_tokens,
        written=generation.completion_tokens,
        reasons=[choice.finish_reason for choice in generation.choices],
    )


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
