"""``/internal/authorize/*``: Envoy's external authorization over HTTP (ext_authz).

Envoy sends the request it has to decide about, body included, with its path behind the prefix. The answer 200
lets it pass, with headers that Envoy puts in place of whatever the client sent; any other answer is the
client's. This is the hot path of every inference request: plain ASGI, and nothing but memory while the caller
and the model were seen before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import orjson

from app.api.bearer import bearer
from app.api.problems import (
    BadRequestError,
    BodyTooLargeError,
    ModelForbiddenError,
    ModelNotFoundError,
    NoTierError,
    openai_error,
    problem_for,
)
from app.api.request_context import remember_ids
from app.api.request_span import begin_span, end_span
from app.identity.errors import ConflictingTokensError, MissingTokenError
from app.identity.user import header_value
from app.observability import audit, tracing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from app.api.problems import Problem
    from app.service import Service
    from app.tiers.mapping import Tier
    from app.tokens.record import MaasToken

PREFIX = "/internal/authorize"
_ROUTE = f"{PREFIX}/{{path}}"

_LONGEST_MODEL = 320  # <namespace>/<name>: a label and a subdomain.
_MODELS = "/v1/models"


class _Question(msgspec.Struct):
    """All that is read of a body; the rest is passed over unbuilt. Of two models the last counts."""

    model: str


_QUESTION = msgspec.json.Decoder(_Question)


class Authorizer:
    """The ASGI application that decides."""

    def __init__(self, service: Service, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._users: dict[str, bytes] = {}
        self._observe = service.metrics.decisions.observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of Envoy's."""
        headers = dict(scope["headers"])
        tracer = self._service.tracer
        if tracer is None or (span := begin_span(tracer, headers, scope["method"])) is None:
            await self._answer(scope, headers, receive, send)
            return
        tracing.current.set(span)
        status = 0
        try:
            status = await self._answer(scope, headers, receive, send)
        finally:
            end_span(span, status, scope["method"], _ROUTE)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> int:
        """Decide and answer; return the status."""
        started = time.perf_counter()
        record: MaasToken | None = None
        tier: Tier | None = None
        model = ""
        try:
            if len(headers) < len(scope["headers"]):
                self._check_authorization(scope["headers"])
            record = await self._holder(headers)
            standing = self._service.standings.of(record)
            tier = standing.tier
            if tier is None:
                raise NoTierError  # noqa: TRY301  # one place answers for all refusals
            allowed = [
                (b"x-maas-user", self._user(record.owner)),
                (b"x-maas-tier", tier.name.encode()),
            ]
            if not self._asks_for_models(scope):
                model = await self._model(headers, receive)
                await self._check(headers, record.owner, standing.groups, tier.name, model)
                allowed.append((b"x-maas-model", model.encode()))
        except Exception as error:  # noqa: BLE001  # whatever happens, Envoy gets an answer that lets nothing pass
            problem = problem_for(error)
            seconds = time.perf_counter() - started
            self._observe(
                tier.name if tier else "",
                self._known(model),
                problem.code,
                seconds,
                outcome="failed" if problem.failed else "refused",
            )
            return await self._refuse(send, headers, problem, record, model)
        seconds = time.perf_counter() - started
        allowed.append((b"content-length", b"0"))
        await send({"type": "http.response.start", "status": 200, "headers": allowed})
        await send({"type": "http.response.body"})
        self._observe(tier.name, model, "allowed", seconds, outcome="allowed")
        if (span := tracing.current.get()) is not None:
            self._note(span, record, tier.name, model)
        return 200

    @staticmethod
    def _check_authorization(headers: list[tuple[bytes, bytes]]) -> None:
        """Whoever is behind the gateway may read the first of two, and a dict keeps the last."""
        if len({value for name, value in headers if name == b"authorization"}) > 1:
            raise ConflictingTokensError("There are two Authorization headers that differ; send one.")

    async def _holder(self, headers: dict[bytes, bytes]) -> MaasToken:
        authorization = headers.get(b"authorization", b"")
        token = authorization[7:] if authorization[:7] == b"Bearer " else b""
        self._service.decisions.check()
        if token and (record := self._service.verifier.recall(token)) is not None:
            return record
        remember_ids(headers)
        text = bearer(authorization.decode("latin-1"))
        if not text:
            raise MissingTokenError("Send a MaaS token as `Authorization: Bearer <token>`.")
        return await self._service.verifier.verify(text)

    @staticmethod
    def _asks_for_models(scope: Scope) -> bool:
        path: str = scope["path"][len(PREFIX) :]
        listing = path == _MODELS or (path.startswith(_MODELS + "/") and "/.." not in path)
        return scope["method"] == "GET" and listing

    async def _model(self, headers: dict[bytes, bytes], receive: Receive) -> str:
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise BadRequestError("The body is compressed; send it as plain JSON.")
        body = await self._body(receive)
        if not body:
            raise BadRequestError("There is no body; expected JSON, an object with a `model`.")
        try:
            model = _QUESTION.decode(body).model
        except msgspec.ValidationError:
            model = ""
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequestError("The body is not JSON; expected an object with a `model`.") from None
        if not model:
            raise BadRequestError('The body names no `model`; expected a string such as "qwen3".')
        if len(model) > _LONGEST_MODEL:
            raise ModelNotFoundError(model[:_LONGEST_MODEL] + "…")
        return model

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._max_body_bytes:
                raise BodyTooLargeError(self._max_body_bytes)
            return body
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_body_bytes:
                raise BodyTooLargeError(self._max_body_bytes)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _check(
        self, headers: dict[bytes, bytes], owner: str, groups: tuple[str, ...], tier: str, model_id: str
    ) -> None:
        model = self._service.catalogue.get(model_id)
        if model is None:
            raise ModelNotFoundError(model_id)
        access = self._service.model_access
        question = access.question(model, owner=owner, groups=groups, tier=tier)
        allowed = access.remembered(question)
        if allowed is None:
            remember_ids(headers)
            allowed = await access.allowed(question)
        if not allowed:
            raise ModelForbiddenError(model_id, tier)

    def _user(self, owner: str) -> bytes:
        if (encoded := self._users.get(owner)) is None:
            if len(self._users) > len(self._service.inventory) + 1000:
                self._users.clear()
            encoded = self._users[owner] = header_value(owner).encode()
        return encoded

    async def _refuse(
        self,
        send: Send,
        headers: dict[bytes, bytes],
        problem: Problem,
        record: MaasToken | None,
        model: str,
    ) -> int:
        identifier = remember_ids(headers)
        if not problem.failed:
            owner, token_id = (record.owner, record.id) if record else ("", "")
            audit.refused("inference", owner, reason=problem.code, tokenId=token_id, model=model)
        if (span := tracing.current.get()) is not None:
            span.note({"maas.problem": problem.code})
            self._note(span, record, record.tier if record else "", model)
        body = orjson.dumps(openai_error(problem))
        answer = [
            (b"content-type", b"application/json"),
            (b"x-request-id", identifier.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        await send({"type": "http.response.start", "status": problem.status, "headers": answer})
        await send({"type": "http.response.body", "body": body})
        return problem.status

    def _note(self, span: tracing.Span, record: MaasToken | None, tier: str, model: str) -> None:
        """Write down what was decided about."""
        if record is not None:
            span.note_user(record.owner)
        attributes = {"maas.tier": tier, "gen_ai.request.model": self._known(model)}
        span.note({name: value for name, value in attributes.items() if value})

    def _known(self, model: str) -> str:
        """The model, if there is one of that name; else it could be any text of a client's."""
        return model if self._service.catalogue.get(model) is not None else ""
