"""`maasctl logs`: everything that helps to find out what is wrong, in one archive."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app.cli.connection import (
    DEFAULT_GATEWAY,
    DEFAULT_NAMESPACE,
    Context,
    GatewayName,
    Kubeconfig,
    Namespace,
    connect,
)
from app.cli.interruption import exit_code
from app.cli.kubectl import Kubectl, KubectlError
from app.cli.logs.collector import Collected, Collector
from app.cli.logs.folder import Folder
from app.cli.logs.plan import Plan, is_model, make_plan
from app.serving import until_stopped

_DURATION = re.compile(r"(?:\d{1,6}[hms]){1,3}")
_MEBIBYTE = 1024 * 1024


def _duration(value: str) -> str:
    if not _DURATION.fullmatch(value):
        raise typer.BadParameter('expected a duration such as "30m" or "2h"')
    return value


def logs(
    *,
    since: Annotated[str, typer.Option(help="How far back logs go.", callback=_duration)] = "1h",
    max_mebibytes: Annotated[
        int, typer.Option("--max-mib", min=1, max=1024, help="The most of one container's log, in MiB.")
    ] = 10,
    models: Annotated[
        bool, typer.Option(help="Collect the models' own logs too; some write down what they are asked.")
    ] = True,
    output_dir: Annotated[
        Path, typer.Option(help="Where the folder and the archive go.", file_okay=False)
    ] = Path(),
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    mapping: Annotated[str, typer.Option(help="Its ConfigMap.")] = "tier-to-group-mapping",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be collected.")] = False,
) -> None:
    """Collect logs, events, states and versions of all parts into a folder and an archive.

    Parts: maas-api, the gateway, Authorino, Limitador, KServe and the models, wherever they run. Secrets
    are never read, and tokens, keys and passwords are taken out of the rest. What could not be read is
    listed in missing.txt.

    Exit codes: 0 collected, 1 not collected, 2 wrong usage, 130 or 143 interrupted.
    """
    console = Console(highlight=False, soft_wrap=True)
    kubectl = connect("logs", kubeconfig, context)
    try:
        stopped_by = asyncio.run(
            until_stopped(
                _logs(
                    kubectl,
                    console,
                    # To the millisecond, so that two runs do not meet.
                    None if dry_run else output_dir / f"maas-logs-{_now()}",
                    namespace=namespace,
                    gateway=gateway_name,
                    models=models,
                    since=since,
                    max_bytes=max_mebibytes * _MEBIBYTE,
                    mapping=mapping,
                )
            )
        )
    except KubectlError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or output_dir} cannot be written: {error.strerror}; choose an --output-dir")
    if stopped_by:
        raise typer.Exit(exit_code(stopped_by))


async def _logs(
    kubectl: Kubectl,
    console: Console,
    path: Path | None,
    *,
    namespace: str,
    gateway: str,
    models: bool,
    since: str,
    max_bytes: int,
    mapping: str,
) -> None:
    with console.status("Looking around …"):
        plan = await make_plan(kubectl, namespace=namespace, gateway=gateway, models=models)
    if path is None:
        _show_plan(console, plan)
        return
    folder = await asyncio.to_thread(Folder, path)
    collector = Collector(
        kubectl, folder, since=since, max_bytes=max_bytes, mapping=mapping, namespace=namespace
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Collecting …", total=None)
        await collector.collect(
            plan,
            began=lambda total: progress.update(bar, total=total),
            done=lambda: progress.advance(bar),
        )
    archive = await asyncio.to_thread(folder.archive)
    _show(console, plan, collector.collected)
    console.print(f"Folder:  {folder.path}\nArchive: {archive}")
    if collector.collected.missing:
        count = len(collector.collected.missing)
        console.print(f"[yellow]{count} things could not be read:[/] {folder.path / 'missing.txt'} says why.")
    if any(is_model(log) for log in collector.collected.sizes):
        console.print(
            "It has logs of models, which may quote what people asked; --no-models leaves them out."
        )
    console.print("Look through it before you send it on: it has names of users, hosts and namespaces.")


def _show_plan(console: Console, plan: Plan) -> None:
    for log in plan.logs:
        previous = " (previous)" if log.previous else ""
        console.print(f"log of {log.component}: {log.namespace}/{log.pod}, {log.container}{previous}")
    for namespace in plan.namespaces:
        console.print(f"events and objects of the namespace {namespace}")
    console.print(f"kinds of objects: {', '.join((*plan.kinds, *plan.cluster_kinds))}")
    for line in plan.missing:
        console.print(f"missing: {line}", markup=False)


def _show(console: Console, plan: Plan, collected: Collected) -> None:
    table = Table(title_justify="left")
    table.add_column("part")
    for name in ("containers", "logs", "KiB"):
        table.add_column(name, justify="right")
    wanted = Counter(log.component for log in plan.logs)
    got = Counter(log.component for log in collected.sizes)
    for component, count in wanted.items():
        size = sum(size for log, size in collected.sizes.items() if log.component == component)
        table.add_row(component, str(count), str(got[component]), f"{size / 1024:.0f}")
    table.add_section()
    for namespace, count in sorted(collected.objects.items()):
        table.add_row(f"objects of {namespace or 'the cluster'}", "", str(count), "")
    console.print(table)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def _fail(message: str) -> NoReturn:
    typer.echo(f"maasctl logs: {message}", err=True)
    raise typer.Exit(1)
