"""The commands: options in, exit code out."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from app.cli.connection import Context, Kubeconfig, connect
from app.cli.environment import read_settings
from app.cli.kubectl import KubectlError, NotFoundError
from app.cli.tiers.doubts import EVERYONE, doubts
from app.cli.tiers.file import UnreadableFileError, read_mapping
from app.cli.tiers.owners import Owner, memberships, moves, owners
from app.cli.tiers.tables import move_table, reason_table, tier_table
from app.tiers.document import MAX_BYTES
from app.tiers.errors import MappingError
from app.tiers.parser import parse_mapping

if TYPE_CHECKING:
    from app.cli.kubectl import Kubectl
    from app.settings import Settings
    from app.tiers.mapping import TierMapping

User = Annotated[str | None, typer.Option(help="Say which tier this person gets, and why.")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="A group the person is in. May be repeated.")
]


def create_tiers() -> typer.Typer:
    """`maasctl tiers` with its commands."""
    cli = typer.Typer(no_args_is_help=True, help="Check the tier mapping, and see who gets what.")
    cli.command("check")(check)
    cli.command("show")(show)
    return cli


def check(
    *,
    file: Annotated[
        Path, typer.Argument(help="The mapping, or the ConfigMap with it; `-` reads standard input.")
    ],
    against_cluster: Annotated[
        bool,
        typer.Option("--against-cluster", help="Say who of those with tokens now would get another tier."),
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Check a tier mapping before it is applied.

    Reads mapping.yaml alone, the ConfigMap around it, or all that `kubectl kustomize` prints. It needs no
    cluster, unless --against-cluster asks for one.

    Exit codes: 0 it can be applied, 1 it cannot, 2 wrong usage.
    """
    settings = read_settings()
    name = "standard input" if str(file) == "-" else str(file)
    try:
        mapping = read_mapping(_read(file), name, settings.tiers.config_map)
    except OSError as error:
        _fail("check", f"{name} cannot be read: {error.strerror}", code=2)
    except UnreadableFileError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    console = Console(highlight=False)
    console.print(tier_table(mapping))
    for doubt in doubts(mapping):
        console.print(f"[yellow]warning:[/] {doubt}", soft_wrap=True)
    if not against_cluster:
        return
    kubectl = connect("tiers check", kubeconfig, context)
    try:
        asyncio.run(_compare(kubectl, settings, mapping, console))
    except KubectlError as error:
        _fail("check", str(error))


def show(
    *, user: User = None, group: Groups = None, kubeconfig: Kubeconfig = None, context: Context = None
) -> None:
    """Show the tiers in the cluster, and who gets what.

    With --user or --group: which tier that is, and which group gives it. A person's groups are those of their
    newest MaaS token, and of OpenShift's Groups; add others with --group.

    Exit codes: 0 shown, 1 the mapping is missing or broken, or the person has no tier, 2 wrong usage.
    """
    settings = read_settings()
    kubectl = connect("tiers show", kubeconfig, context)
    console = Console(highlight=False)
    try:
        mapping = asyncio.run(_mapping(kubectl, settings))
        if user is None and not group:
            found = asyncio.run(owners(kubectl, settings.namespace))
            console.print(tier_table(mapping, _by_tier(mapping, found)))
            for owner in found:
                if mapping.tier_of(owner.groups) is None:
                    console.print(f"[yellow]warning:[/] {owner.name} holds tokens and has no tier")
            return
        sources = asyncio.run(_sources(kubectl, settings, user, group or []))
    except KubectlError as error:
        _fail("show", str(error))
    console.print(reason_table(mapping, sources))
    tier = mapping.tier_of(source[0] for source in sources)
    if tier is None:
        _fail("show", f"{user or 'whoever is in these groups'} has no tier, and gets no token")
    console.print(f"{user or 'Whoever is in these groups'} gets [bold]{tier.name}[/]")


def _read(file: Path) -> bytes:
    # One byte more than is read, so that a larger file is noticed.
    most = 2 * MAX_BYTES + 1
    if str(file) == "-":
        return sys.stdin.buffer.read(most)
    with file.open("rb") as opened:
        return opened.read(most)


async def _mapping(kubectl: Kubectl, settings: Settings) -> TierMapping:
    """The mapping in the cluster.

    Raises:
        KubectlError: it cannot be asked for.
        typer.Exit: code 1, when it has said that there is none, or what is wrong with it.
    """
    name = settings.tiers.config_map
    try:
        found = await kubectl.json("get", "configmap", name, f"--namespace={settings.namespace}")
    except NotFoundError:
        _fail("tiers", f"there is no ConfigMap {name} in the namespace {settings.namespace}")
    try:
        return parse_mapping(found.get("data"))
    except MappingError as error:
        _fail("tiers", f"the mapping in the cluster cannot be read; the last good one is in force:\n{error}")


async def _compare(kubectl: Kubectl, settings: Settings, mapping: TierMapping, console: Console) -> None:
    found = await owners(kubectl, settings.namespace)
    try:
        current: TierMapping | None = await _mapping(kubectl, settings)
    except typer.Exit:
        current = None
    changed = moves(found, current, mapping)
    if not changed:
        console.print(f"Nobody of the {len(found)} people with tokens would get another tier.")
        return
    console.print(move_table(changed))
    lost = sum(move.after is None for move in changed)
    console.print(
        f"{len(changed)} of the {len(found)} people with tokens would get another tier,"
        f" {lost} of them none: their tokens would be refused."
    )


async def _sources(
    kubectl: Kubectl, settings: Settings, user: str | None, given: list[str]
) -> list[tuple[str, str]]:
    """The groups, each with where it is known from."""
    sources = dict.fromkeys(given, "--group")
    if user is not None:
        for group in await memberships(kubectl, user):
            sources.setdefault(group, "OpenShift Group")
        for owner in await owners(kubectl, settings.namespace):
            for group in owner.groups if owner.name == user else ():
                sources.setdefault(group, "newest token")
    sources.setdefault(EVERYONE, "everybody")
    return list(sources.items())


def _by_tier(mapping: TierMapping, found: list[Owner]) -> dict[str, list[Owner]]:
    by_tier: dict[str, list[Owner]] = defaultdict(list)
    for owner in found:
        tier = mapping.tier_of(owner.groups)
        if tier is not None:
            by_tier[tier.name].append(owner)
    return by_tier


def _fail(command: str, message: str, *, code: int = 1) -> NoReturn:
    typer.echo(f"maasctl {command if command == 'tiers' else f'tiers {command}'}: {message}", err=True)
    raise typer.Exit(code)
