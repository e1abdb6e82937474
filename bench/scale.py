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
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.kube.resources import SERVICE_ACCOUNTS
from bench.authorize import request
from bench.scale_figures import BASELINE, MAPPING, Subject, compare, follow, relist, start_up
from bench.service_process import service_process
from bench.token_load import put, tokens
from tests.clusters import RealCluster
from tests.control_plane import GROUP_CRD, MODEL_CRDS, ControlPlane, find_binaries, missing_tools
from tests.workspace import FREE, PREMIUM, Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEASURED, EACH = 20, 10
console = Console(stderr=True)


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
        results = {count: await start_up(subject) for count, subject in subjects.items()}
        await compare(subjects, results, progress)
        for count, subject in subjects.items():
            await follow(subject, results[count], progress)
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
