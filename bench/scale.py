"""What many live tokens cost: start-up, memory, listing, deciding, a new list of everything.

`python -m bench.scale` measures on a real kube-apiserver and etcd (`make tools` builds them), with `maasctl
serve` as a process of its own. A second service with 1,000 tokens runs beside it; both are asked in turn, so
that their ratio does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.kube.resources import SERVICE_ACCOUNTS
from bench.authorize import request
from bench.http_load import Result, load
from bench.service_process import ServiceProcess, service_process
from bench.token_load import Token, put, tokens
from tests.clusters import RealCluster
from tests.control_plane import GROUP_CRD, MODEL_CRDS, ControlPlane, find_binaries, missing_tools
from tests.workspace import FREE, PREMIUM, Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BASELINE = 1_000
MEASURED, EACH = 20, 10
ROUNDS, REQUESTS = 7, 400
CHANGES, REVOCATIONS = 20, 40
MAPPING = """
tiers:
  free:    {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}
  premium: {groups: ["%s"], rateLimit: {requestsPerMinute: 100}}
"""
console = Console(stderr=True)


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


async def measure(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        control_plane = await stack.enter_async_context(ControlPlane(find_binaries()))
        await control_plane.install_crds([*MODEL_CRDS, GROUP_CRD])
        cluster = RealCluster(control_plane)
        await cluster.start()
        stack.push_async_callback(cluster.stop)
        subjects = {}
        for count in sorted({BASELINE, *args.tokens}):
            owners = max(1, round(count * args.owners / max(args.tokens)))
            subject = await stack.enter_async_context(
                serving_tokens(
                    control_plane, cluster, directory=directory, count=count, owners=owners, progress=progress
                )
            )
            subjects[count] = subject
        results = {count: await figures(subject) for count, subject in subjects.items()}
        await compare(subjects, results, progress)
        for count, subject in subjects.items():
            await follow(subject, results[count], progress)
        console.print_json(data=results)
        await relist(cluster, subjects, results, progress)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "owners": args.owners,
        "results": {str(count): values for count, values in results.items()},
    }


@asynccontextmanager
async def serving_tokens(
    control_plane: ControlPlane,
    cluster: RealCluster,
    *,
    directory: Path,
    count: int,
    owners: int,
    progress: Progress,
) -> AsyncIterator[Subject]:
    """A service in a namespace of its own, with so many tokens, ready."""
    workspace = Workspace(cluster)
    await workspace.open()
    await workspace.map_tiers(MAPPING % "premium-users")
    model = await workspace.model("qwen3", FREE, PREMIUM)
    wanted = list(tokens(count, owners=owners, measured=MEASURED, each=EACH))
    task = progress.add_task(f"{count:,} tokens into etcd", total=count)
    await put(
        control_plane.etcd_url,
        cluster.admin,
        workspace.namespace,
        wanted,
        expires_at=int(time.time()) + 86_400,
        advance=lambda some: progress.advance(task, some),
    )
    callers = [await workspace.person(wanted[at * EACH].owner, "research") for at in range(MEASURED)]
    jwts = [await jwt(cluster, workspace.namespace, token.id) for token in wanted[: MEASURED * EACH]]
    kubeconfig = await workspace.service_kubeconfig()
    async with service_process(directory, kubeconfig=kubeconfig, namespace=workspace.namespace) as process:
        await asyncio.sleep(1)
        yield Subject(
            workspace,
            process,
            wanted,
            lists=[
                b"GET /maas-api/tokens HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %s\r\n\r\n"
                % caller.encode()
                for caller in callers
            ],
            decisions=[request(each).replace(b'"qwen3"', b'"%s"' % model.encode()) for each in jwts],
            jwts=jwts,
            idle_memory=process.memory(),
        )


async def jwt(cluster: RealCluster, namespace: str, token_id: str) -> str:
    spec = {"audiences": ["maas-default-gateway-sa"], "expirationSeconds": 36_000}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await cluster.admin.create(
        SERVICE_ACCOUNTS, body, namespace=namespace, name=token_id, subresource="token"
    )
    token: str = answer["status"]["token"]
    return token


async def figures(subject: Subject) -> dict[str, float]:
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


def show(document: dict[str, Any]) -> None:
    table = Table(title=f"{document['machine']}, Python {document['python']}, {document['date']}")
    table.add_column("measured")
    results = document["results"]
    for count in results:
        table.add_column(f"{int(count):,} tokens", justify="right")
    for name in results[max(results, key=int)]:
        table.add_row(name, *(f"{values[name]:.2f}" if name in values else "" for values in results.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[10_000, 100_000], help="how many, each in turn"
    )
    parser.add_argument("--owners", type=int, default=5_000, help="of the largest number of tokens")
    parser.add_argument(
        "--output", type=Path, help="where the results go as JSON; standard output without it"
    )
    args = parser.parse_args()
    if reason := missing_tools():
        raise SystemExit(reason)
    with Progress(console=console) as progress:
        document = uvloop.run(measure(args, progress))
    show(document)
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    if args.output:
        args.output.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
