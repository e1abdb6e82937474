"""The least there is to issuing a token: three calls to the API server, by a client that does nothing else.

TokenReview, create the ServiceAccount, TokenRequest: the same objects as the service sends, over connections
that stay open, with answers of which one name and one token are looked for and nothing is parsed.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import uvloop

from app.tokens.names import token_id
from app.tokens.record import service_account
from bench.http_load import Connection, LoadError, Run, post, status_of, trusting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USERNAME = re.compile(rb'"username":"([^"]+)"')
_TOKEN = re.compile(rb'"token":"([^"]+)"')
_LIFETIME_SECONDS = 86_400
_CREATED = 201


@dataclass(frozen=True)
class BareCalls:
    """So many tokens over so many connections.

    Attributes:
        port: of the API server.
        ca_file: the CA of its certificate.
        credential: the bearer token that the calls are made with.
        namespace: where the ServiceAccounts go.
        audience: of the tokens.
        groups: that callers are in, as the service would write them down.
        callers: their tokens, one for each that is issued.
        connections: how many are issued at the same time.
        warm_up: how many of them come first and are not measured.
        queries_per_second: None: as fast as it goes; else all calls together are held back to that, as
            client-go does by default (5 a second, after a burst of 10).
        burst: how many calls are not held back at first.
        seconds: after which nothing further is begun.
    """

    port: int
    ca_file: str
    credential: str
    namespace: str
    audience: str
    groups: tuple[str, ...]
    callers: Sequence[str]
    connections: int
    warm_up: int = 0
    queries_per_second: float | None = None
    burst: int = 10
    seconds: float = 60


class TokenBucket:
    """client-go's `flowcontrol.NewTokenBucketRateLimiter`: callers wait their turn in the order they came."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._filled: float | None = None
        self._tokens = float(burst)

    def delay(self, now: float) -> float:
        """Take a token, and return in how many seconds it is there."""
        if self._filled is not None:
            gained = (now - self._filled) * self._per_second
            self._tokens = min(float(self._burst), self._tokens + gained)
        self._filled = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)


def run_bare_calls(plan: BareCalls) -> Run:
    """Issue them; blocks until it is done.

    Raises:
        LoadError: the API server refused something.
    """
    return uvloop.run(_run(plan))


async def open_issuers(plan: BareCalls) -> list[BareIssuer]:
    """As many as there are connections."""
    context = await asyncio.to_thread(trusting, Path(plan.ca_file))
    return [BareIssuer(plan, await Connection.open(plan.port, context)) for _ in range(plan.connections)]


async def _run(plan: BareCalls) -> Run:
    issuers = await open_issuers(plan)
    bucket = TokenBucket(plan.queries_per_second, plan.burst) if plan.queries_per_second else None
    callers = iter(plan.callers)
    run = Run()

    async def work(issuer: BareIssuer, left: list[None], latencies: list[float] | None) -> None:
        until = time.perf_counter() + plan.seconds
        while left and time.perf_counter() < until:
            left.pop()
            started = time.perf_counter()
            await issuer.issue(next(callers), bucket)
            if latencies is not None:
                latencies.append(time.perf_counter() - started)

    try:
        for count, latencies in ((plan.warm_up, None), (len(plan.callers) - plan.warm_up, list[float]())):
            left = [None] * count
            started, processor = time.perf_counter(), time.process_time()
            async with asyncio.TaskGroup() as group:
                for issuer in issuers:
                    group.create_task(work(issuer, left, latencies))
            if latencies is not None:
                run.latencies.extend(latencies)
                run.seconds = time.perf_counter() - started
                run.processor_seconds = time.process_time() - processor
    finally:
        for issuer in issuers:
            issuer.close()
    return run


class BareIssuer:
    """Issues one token after the other over one connection."""

    def __init__(self, plan: BareCalls, connection: Connection) -> None:
        self._plan = plan
        self._connection = connection
        self._accounts = f"/api/v1/namespaces/{plan.namespace}/serviceaccounts"

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()

    async def issue(self, caller: str, bucket: TokenBucket | None) -> None:
        """Issue one; calls wait for their turn in `bucket`, if there is one.

        Raises:
            LoadError: the API server refused something.
        """
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": caller},
        }
        answer = await self._call("/apis/authentication.k8s.io/v1/tokenreviews", review, bucket)
        owner = _found(_USERNAME, answer)
        now = time.time()
        name = token_id(owner, int(now * 1000))
        account = service_account(
            token_id=name,
            namespace=self._plan.namespace,
            owner=owner,
            groups=self._plan.groups,
            cluster_groups=(),
            tier="free",
            name="",
            expires_at=int(now) + _LIFETIME_SECONDS,
            issue="0123456789abcdef",
        )
        await self._call(self._accounts, account, bucket)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [self._plan.audience], "expirationSeconds": _LIFETIME_SECONDS},
        }
        _found(_TOKEN, await self._call(f"{self._accounts}/{name}/token", request, bucket))

    async def _call(self, path: str, body: Mapping[str, object], bucket: TokenBucket | None) -> bytes:
        if bucket is not None:
            await asyncio.sleep(bucket.delay(time.monotonic()))
        request = post(
            path,
            orjson.dumps(body),
            accept="application/json",
            authorization=f"Bearer {self._plan.credential}",
        )
        answer = await self._connection.exchange(request)
        if status_of(answer) != _CREATED:
            raise LoadError(f"{path} answered {answer[:1500].decode(errors='replace')}")
        return answer


def _found(pattern: re.Pattern[bytes], answer: bytes) -> str:
    found = pattern.search(answer)
    if not found:
        raise LoadError(f"there is no {pattern.pattern!r} in {answer[:1500]!r}")
    return found.group(1).decode()
