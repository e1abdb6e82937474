"""The decision about one inference request, side by side with an authorizer that answers without looking.

`make bench` runs it: two servers as processes of their own (uvicorn, uvloop, httptools), 1,000 live tokens,
16 connections, several rounds in turn so that both see the same machine. It prints the ratio.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from app.embedded.cluster import embedded_cluster
from app.lifespan import running
from app.main import create_gateway_app
from app.serving import bind, serving
from app.settings import Settings
from bench.http_load import Result, load

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from starlette.types import Receive, Scope, Send

TOKENS, CONNECTIONS, REQUESTS, ROUNDS = 1_000, 16, 20_000, 5


async def answer_without_looking(_scope: Scope, receive: Receive, send: Send) -> None:
    """The limit: reads the body and lets everything pass."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def serve_limit(pipe: Connection) -> None:
    """Process: the authorizer that answers without looking."""

    async def run() -> None:
        listener = bind("limit", "127.0.0.1", 0)
        async with serving((answer_without_looking, listener), shutdown_seconds=1):
            pipe.send((listener.port, []))
            await asyncio.to_thread(pipe.recv)

    uvloop.run(run())


def serve_authorizer(pipe: Connection) -> None:
    """Process: the gateway app, with its cluster and live tokens."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            cluster_listener = bind("cluster", "127.0.0.1", 0)
            async with embedded_cluster(
                Path(directory), cluster_listener, namespace="maas", advertise="localhost"
            ) as cluster:
                settings = Settings(kubeconfig=str(cluster.service_kubeconfig))
                async with running(settings) as service:
                    for reflector in service.reflectors:
                        await reflector.wait_synced()
                    jwts = []
                    for number in range(TOKENS):
                        issued = await service.issuer.issue(
                            f"user-{number % 200}@example.com",
                            groups=("system:authenticated",),
                            cluster_groups=(),
                            tier="free",
                            name="",
                            seconds=None,
                            max_tokens=10,
                        )
                        jwts.append(issued.jwt)
                    listener = bind("authorizer", "127.0.0.1", 0)
                    async with serving((create_gateway_app(service), listener), shutdown_seconds=1):
                        pipe.send((listener.port, jwts))
                        await asyncio.to_thread(pipe.recv)

    uvloop.run(run())


def started(target: Any) -> tuple[multiprocessing.Process, Connection, int, list[str]]:
    """The running process, the pipe that ends it, its port and its tokens."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs,), daemon=True)
    process.start()
    port, jwts = ours.recv()
    return process, ours, port, jwts


def request(jwt: str) -> bytes:
    """What Envoy sends for one chat."""
    body = orjson.dumps({"model": "qwen3", "messages": [{"role": "user", "content": "Hello! " * 20}]})
    return (
        b"POST /internal/authorize/v1/chat/completions HTTP/1.1\r\nhost: localhost:8443\r\n"
        b"content-type: application/json\r\nx-request-id: 0b3f6a0e-6c6b-4e4e-9a55-0f0f7d0c7a11\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (jwt.encode(), len(body), body)
    )


def main() -> None:
    """Measure and print."""
    multiprocessing.set_start_method("spawn")
    limit, limit_pipe, limit_port, _ = started(serve_limit)
    authorizer, authorizer_pipe, authorizer_port, jwts = started(serve_authorizer)
    requests = [request(jwt) for jwt in jwts]

    def measure(port: int) -> Result:
        return uvloop.run(load(port, requests, connections=CONNECTIONS, count=REQUESTS))

    measure(authorizer_port), measure(limit_port)
    rounds = [(measure(authorizer_port), measure(limit_port)) for _ in range(ROUNDS)]
    for pipe, process in ((limit_pipe, limit), (authorizer_pipe, authorizer)):
        pipe.send("stop")
        process.join(10)
    for mine, _ in rounds:
        if set(mine.statuses) != {200}:
            sys.exit(f"not everything was let pass: {mine.statuses}")
    ratio = statistics.median(mine.per_second / bare.per_second for mine, bare in rounds)
    for name, results in (
        ("authorizer", [mine for mine, _ in rounds]),
        ("answers without looking", [bare for _, bare in rounds]),
    ):
        rate = statistics.median(result.per_second for result in results)
        p50 = statistics.median(result.p50 for result in results)
        p99 = statistics.median(result.p99 for result in results)
        print(f"{name:<24} {rate:>8.0f}/s   p50 {p50:.2f} ms   p99 {p99:.2f} ms")
    print(f"ratio {ratio:.2f} (median of {ROUNDS} rounds of {REQUESTS} requests, {CONNECTIONS} connections)")


if __name__ == "__main__":
    main()
