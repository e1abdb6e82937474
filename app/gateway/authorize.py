"""``/internal/authorize/*``: Envoy's external authorization over HTTP (ext_authz).

Envoy sends the request it has to decide about, body included, with its path behind the prefix. The answer 200
lets it pass, with headers that Envoy puts in place of whatever the client sent; any other answer is the
client's. This is the hot path of every inference request: plain ASGI, and nothing but memory while the caller
and the model were seen before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from app.api.bearer import bearer
from app.api.problems import (
    BodyTooLargeError,
    ModelForbiddenError,
    ModelNotFoundError,
    NoTierError,
    openai_error,
    problem_for,
)
from app.api.request_context import remember_ids
from app.api.request_span import begin_span, end_span
from app.gateway.question import asks_for_models, named_model
from app.identity.errors import ConflictingTokensError, MissingTokenError
from app.identity.user import header_value
from app.observability import audit, tracing

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from app.api.problems import Problem
    from app.identity.access_review import Access
    from app.service import Service
    from app.tokens.record import MaasToken

PREFIX = "/internal/authorize"
_ROUTE = f"{PREFIX}/{{path}}"


@dataclass(slots=True)
class _Case:
    """A request, and as much as is known about it."""

    headers: dict[bytes, bytes]
    record: MaasToken | None = None
    tier: str = ""
    groups: tuple[str, ...] = ()
    model: str = ""


class Authorizer:
    """The ASGI application that decides."""

    def __init__(self, service: Service, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._users: dict[str, bytes] = {}
        self._observe = service.metrics.decisions.observe

    def at_once(self, scope: Scope, body: bytes) -> list[tuple[bytes, bytes]] | None:
        """Decide from memory: the headers of the answer that lets a request of Envoy's pass.

        None where the cluster has to be asked, where there is a trace to be kept, and for whatever may not
        pass: of these `__call__` decides, which says why.
        """
        started = time.perf_counter()
        headers = dict(scope["headers"])
        said_twice, too_large = len(headers) < len(scope["headers"]), len(body) > self._max_body_bytes
        if said_twice or too_large or self._service.tracer is not None:
            return None
        case = _Case(headers)
        try:
            record = case.record = self._recall(headers)
            if record is None:
                return None
            self._rank(case, record)
            if not self._asks_for_models(scope):
                question = self._question(case, record, body)
                if not self._service.model_access.remembered(question):
                    return None
        except Exception:  # noqa: BLE001  # whatever it is, it is said where all are
            return None
        self._observe(case.tier, case.model, "allowed", time.perf_counter() - started, outcome="allowed")
        return self._passing(case, record)

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
        case = _Case(headers)
        try:
            if len(headers) < len(scope["headers"]):
                self._check_authorization(scope["headers"])
            record = case.record = self._recall(headers) or await self._verify(headers)
            self._rank(case, record)
            if not self._asks_for_models(scope):
                question = self._question(case, record, await self._body(receive))
                await self._check(case, question)
        except Exception as error:  # noqa: BLE001  # whatever happens, Envoy gets an answer that lets nothing pass
            problem = problem_for(error)
            seconds = time.perf_counter() - started
            self._observe(
                case.tier,
                self._known(case.model),
                problem.code,
                seconds,
                outcome="failed" if problem.failed else "refused",
            )
            return await self._refuse(send, case, problem)
        seconds = time.perf_counter() - started
        allowed = [*self._passing(case, record), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": allowed})
        await send({"type": "http.response.body"})
        self._observe(case.tier, case.model, "allowed", seconds, outcome="allowed")
        if (span := tracing.current.get()) is not None:
            self._note(span, case)
        return 200

    @staticmethod
    def _check_authorization(headers: list[tuple[bytes, bytes]]) -> None:
        """Whoever is behind the gateway may read the first of two, and a dict keeps the last."""
        if len({value for name, value in headers if name == b"authorization"}) > 1:
            raise ConflictingTokensError("There are two Authorization headers that differ; send one.")

    def _recall(self, headers: dict[bytes, bytes]) -> MaasToken | None:
        """The token's record, if it was verified before."""
        authorization = headers.get(b"authorization", b"")
        token = authorization[7:] if authorization[:7] == b"Bearer " else b""
        self._service.decisions.check()
        return self._service.verifier.recall(token) if token else None

    async def _verify(self, headers: dict[bytes, bytes]) -> MaasToken:
        remember_ids(headers)
        text = bearer(headers.get(b"authorization", b"").decode("latin-1"))
        if not text:
            raise MissingTokenError("Send a MaaS token as `Authorization: Bearer <token>`.")
        return await self._service.verifier.verify(text)

    def _rank(self, case: _Case, record: MaasToken) -> None:
        standing = self._service.standings.of(record)
        if standing.tier is None:
            raise NoTierError
        case.tier, case.groups = standing.tier.name, standing.groups

    @staticmethod
    def _asks_for_models(scope: Scope) -> bool:
        return asks_for_models(scope["method"], scope["path"][len(PREFIX) :])

    def _question(self, case: _Case, record: MaasToken, body: bytes) -> Access:
        """May the holder call the model that the body names?"""
        case.model = named_model(case.headers, body)
        model = self._service.catalogue.get(case.model)
        if model is None:
            raise ModelNotFoundError(case.model)
        return self._service.model_access.question(
            model, owner=record.owner, groups=case.groups, tier=case.tier
        )

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

    async def _check(self, case: _Case, question: Access) -> None:
        access = self._service.model_access
        allowed = access.remembered(question)
        if allowed is None:
            remember_ids(case.headers)
            allowed = await access.allowed(question)
        if not allowed:
            raise ModelForbiddenError(case.model, case.tier)

    def _passing(self, case: _Case, record: MaasToken) -> list[tuple[bytes, bytes]]:
        """The headers by which Envoy lets a request pass."""
        headers = [(b"x-maas-user", self._user(record.owner)), (b"x-maas-tier", case.tier.encode())]
        if case.model:
            headers.append((b"x-maas-model", case.model.encode()))
        return headers

    def _user(self, owner: str) -> bytes:
        if (encoded := self._users.get(owner)) is None:
            if len(self._users) > len(self._service.inventory) + 1000:
                self._users.clear()
            encoded = self._users[owner] = header_value(owner).encode()
        return encoded

    async def _refuse(self, send: Send, case: _Case, problem: Problem) -> int:
        identifier = remember_ids(case.headers)
        if not problem.failed:
            owner, token_id = (case.record.owner, case.record.id) if case.record else ("", "")
            audit.refused("inference", owner, reason=problem.code, tokenId=token_id, model=case.model)
        if (span := tracing.current.get()) is not None:
            span.note({"maas.problem": problem.code})
            self._note(span, case)
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

    def _note(self, span: tracing.Span, case: _Case) -> None:
        """Write down what was decided about."""
        tier = case.tier
        if case.record is not None:
            span.note_user(case.record.owner)
            tier = tier or case.record.tier
        attributes = {"maas.tier": tier, "gen_ai.request.model": self._known(case.model)}
        span.note({name: value for name, value in attributes.items() if value})

    def _known(self, model: str) -> str:
        """The model, if there is one of that name; else it could be any text of a client's."""
        return model if self._service.catalogue.get(model) is not None else ""
