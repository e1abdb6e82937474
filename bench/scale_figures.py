"""What is measured of services with many tokens, side by side."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from app.kube.resources import SERVICE_ACCOUNTS
from bench.http_load import Result, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.progress import Progress

    from bench.service_process import ServiceProcess
    from bench.token_load import Token
    from tests.clusters import RealCluster
    from tests.workspace import Workspace

BASELINE = 1_000
ROUNDS, REQUESTS = 7, 400
CHANGES, REVOCATIONS = 20, 40
MAPPING = """
tiers:
  free:    {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}
  premium: {groups: ["%s"], rateLimit: {requestsPerMinute: 100}}
"""


@dataclass
class Subject:
    """A service with its tokens."""

    workspace: Workspace
    process: ServiceProcess
    tokens: list[Token]
    lists: list[bytes]
    decisions: list[bytes]
    jwts: list[str]
    idle_memory: float


async def start_up(subject: Subject) -> dict[str, float]:
    return {
        "ready_seconds": subject.process.ready_seconds,
        "ready_processor_seconds": subject.process.ready_processor_seconds,
        "list_seconds": subject.process.lists()[0] if subject.process.lists() else 0.0,
        "memory_mb": subject.idle_memory,
    }


async def compare(
    subjects: dict[int, Subject], results: dict[int, dict[str, float]], progress: Progress
) -> None:
    """List ten tokens and decide about requests, of every service in turn."""
    task = progress.add_task("listing and deciding", total=ROUNDS + 1)
    rounds: dict[int, list[tuple[Result, Result]]] = {count: [] for count in subjects}
    for number in range(ROUNDS + 1):
        for count, subject in subjects.items():
            process = subject.process
            listing = await load(process.public, subject.lists, connections=1, count=REQUESTS)
            deciding = await load(process.gateway, fitted(subject), connections=1, count=REQUESTS)
            if set(listing.statuses) | set(deciding.statuses) != {200}:
                raise SystemExit(f"not everything was answered: {listing.statuses} {deciding.statuses}")
            if number:  # The first round is for caches.
                rounds[count].append((listing, deciding))
        progress.advance(task)
    for count, measured in rounds.items():
        for at, name in enumerate(("listing", "decision")):
            results[count][f"{name}_p50_ms"] = statistics.median(each[at].p50 for each in measured)
            results[count][f"{name}_p99_ms"] = statistics.median(each[at].p99 for each in measured)
            results[count][f"{name}_ratio"] = statistics.median(
                each[at].p50 / base[at].p50 for each, base in zip(measured, rounds[BASELINE], strict=True)
            )


def fitted(subject: Subject) -> list[bytes]:
    """The requests for decisions, with the length that their bodies have."""
    return [with_length(each) for each in subject.decisions]


def with_length(message: bytes) -> bytes:
    head, _, body = message.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body)]) + b"\r\n\r\n" + body


async def follow(subject: Subject, results: dict[str, float], progress: Progress) -> None:
    """From a changed mapping to the first decision by it, and from a revocation to the first refusal."""
    task = progress.add_task("changes and revocations", total=CHANGES + REVOCATIONS)
    workspace, process = subject.workspace, subject.process
    url = f"http://127.0.0.1:{process.gateway}/internal/authorize/v1/models"
    changes, revocations = [], []
    async with aiohttp.ClientSession() as session:

        async def decided(token: str) -> tuple[int, str]:
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                return response.status, response.headers.get("x-maas-tier", "")

        for number in range(CHANGES):
            group, tier = (("research", "premium"), ("premium-users", "free"))[number % 2]
            changes.append(
                await until(
                    workspace.map_tiers(MAPPING % group),
                    lambda: decided(subject.jwts[0]),
                    (200, tier),
                )
            )
            progress.advance(task)
        for token, secret in list(zip(subject.tokens, subject.jwts, strict=False))[-REVOCATIONS:]:
            await decided(secret)
            gone = workspace.cluster.admin.delete(SERVICE_ACCOUNTS, token.id, namespace=workspace.namespace)
            revocations.append(await until(gone, lambda secret=secret: decided(secret), (401, "")))
            progress.advance(task)
    for name, values in (("mapping", changes), ("revocation", revocations)):
        values.sort()
        results[f"{name}_p50_ms"] = values[len(values) // 2] * 1000
        results[f"{name}_max_ms"] = values[-1] * 1000


async def until(act: Awaitable[Any], look: Callable[[], Awaitable[Any]], expected: Any) -> float:
    """Seconds from the moment the API server has answered `act` until `look` sees what is expected."""
    await act
    started = time.perf_counter()
    while await look() != expected:
        if time.perf_counter() - started > 30:  # noqa: PLR2004
            raise SystemExit(f"never came {expected}")
    return time.perf_counter() - started


async def relist(
    cluster: RealCluster,
    subjects: dict[int, Subject],
    results: dict[int, dict[str, float]],
    progress: Progress,
) -> None:
    """Let the API server forget its history, and see how long decisions take while everything is listed."""
    task = progress.add_task("new lists of everything", total=1)
    before = {count: len(subject.process.lists()) for count, subject in subjects.items()}
    processor = {count: subject.process.processor() for count, subject in subjects.items()}
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        deciding = {
            count: group.create_task(longest_decision(subject, stop)) for count, subject in subjects.items()
        }
        await cluster.forget_history()
        async with asyncio.timeout(120):
            for count, subject in subjects.items():
                while len(subject.process.lists()) == before[count]:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        stop.set()
    for count, subject in subjects.items():
        results[count] |= {
            "longest_decision_ms": deciding[count].result(),
            "relist_seconds": subject.process.lists()[-1],
            "relist_processor_seconds": subject.process.processor() - processor[count],
            "memory_after_relist_mb": subject.process.memory(),
            "peak_memory_mb": subject.process.peak_memory(),
        }
    progress.advance(task)
    base = results[BASELINE]
    for count, values in results.items():
        if count > BASELINE:
            for name in ("memory_mb", "peak_memory_mb"):
                grown = (values[name] - base[name]) * 1e6
                values[f"{name.removesuffix('_mb')}_per_token_bytes"] = grown / (count - BASELINE)


async def longest_decision(subject: Subject, stop: asyncio.Event) -> float:
    """The longest of decisions one after the other, in milliseconds."""
    longest = 0.0
    # What is asked of the API server, access to a model, would show how long that takes to come back.
    requests = [
        b"GET /internal/authorize/v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %s\r\n\r\n"
        % each.encode()
        for each in subject.jwts[:-REVOCATIONS]
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", subject.process.gateway)
    number = 0
    while not stop.is_set():
        started = time.perf_counter()
        writer.write(requests[number % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        longest = max(longest, time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused meanwhile: {head[:200]!r}")
        number += 1
        await asyncio.sleep(0.001)
    writer.close()
    return longest * 1000
