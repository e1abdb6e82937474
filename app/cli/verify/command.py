"""`maasctl verify`: does everything work, and is everything enforced?"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from app.cli.connection import (
    DEFAULT_GATEWAY,
    DEFAULT_NAMESPACE,
    Context,
    GatewayName,
    Kubeconfig,
    Namespace,
    connect,
)
from app.cli.gateway.options import CaCertificates, GatewayAddress, Insecure, TokenFile, check
from app.cli.interruption import exit_code
from app.cli.verify import report
from app.cli.verify.check import Check, Result
from app.cli.verify.families import CHECKS, FAMILIES
from app.cli.verify.journey import Journey
from app.cli.verify.runner import run, selected
from app.cli.verify.session import Options, Session
from app.cli.verify.view import View
from app.serving import until_stopped


class Output(StrEnum):
    """How results are shown."""

    TEXT = "text"
    JSON = "json"


def verify(  # noqa: PLR0913  # an option each
    *,
    gateway: GatewayAddress = "",
    cacert: CaCertificates = None,
    insecure: Insecure = False,
    token_file: TokenFile = None,
    model: Annotated[str, typer.Option(help="The model to ask; otherwise the first that is ready.")] = "",
    spend_limit: Annotated[
        bool,
        typer.Option(
            "--spend-limit",
            help="Send requests until a 429 is seen. That uses up the caller's requests of a minute.",
        ),
    ] = False,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="URL of a replica's metrics, instead of port-forwards. May be repeated."),
    ] = None,
    prometheus: Annotated[
        str,
        typer.Option(help="URL of the Prometheus that collects the metrics; HTTPS gets the caller token."),
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Check this family, and what it needs: {', '.join(FAMILIES)}. May be repeated."),
    ] = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read and sent, and do nothing.")
    ] = False,
    output: Annotated[Output, typer.Option(help="How results are shown.")] = Output.TEXT,
) -> None:
    """Check that the platform works and that everything is enforced, from the cluster to a model's answer.

    It issues one MaaS token, `maasctl-verify`, asks a model for one token, and revokes the MaaS token.
    Nothing else is changed. docs/checks.md explains every check.

    Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage, 130 or 143 interrupted.
    """
    if unknown := set(only or ()) - set(FAMILIES):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: there are {', '.join(FAMILIES)}", param_hint="--only"
        )
    url = check(gateway, cacert, insecure=insecure)
    checks, console = selected(CHECKS, only or ()), Console(highlight=False, soft_wrap=True)
    if dry_run:
        if output is Output.JSON:
            typer.echo(report.plan_as_json(checks))
        else:
            report.show_plan(console, checks)
        return
    kubectl = connect("verify", kubeconfig, context)
    options = Options(
        gateway_url=url,
        kubeconfig=kubeconfig,
        context=context,
        ca_file=cacert,
        insecure=insecure,
        token_file=token_file,
        model=model,
        spend_limit=spend_limit,
        metrics_urls=tuple(metrics or ()),
        prometheus_url=prometheus,
    )
    session = Session(options, View(kubectl, namespace=namespace, gateway=gateway_name), Journey())
    results: list[Result] = []
    stopped_by = asyncio.run(
        until_stopped(_verify(checks, session, console, results, live=output is Output.TEXT))
    )
    if output is Output.JSON:
        typer.echo(report.as_json(results, session.view))
    elif results:
        report.show_summary(console, results)
    if stopped_by:
        raise typer.Exit(exit_code(stopped_by))
    raise typer.Exit(1 if report.any_failed(results) else 0)


async def _verify(
    checks: list[Check], session: Session, console: Console, results: list[Result], *, live: bool
) -> None:
    status = console.status("")

    def starting(check: Check) -> None:
        if live:
            status.update(f"{check.asks} …")

    def ended(result: Result) -> None:
        results.append(result)
        if live:
            report.show_line(console, result, session.view)

    if live:
        status.start()
    try:
        await run(checks, session, starting=starting, ended=ended)
    finally:
        left = await session.journey.close()
        status.stop()
        if left:
            typer.echo(f"maasctl verify: the token {left} could not be revoked; it ends by itself", err=True)
