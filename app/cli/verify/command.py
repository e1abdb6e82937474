"""`maasctl verify`: does everything work, and is everything enforced?"""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.kubectl import Kubectl, ProgramMissingError
from app.cli.verify import report
from app.cli.verify.check import Check, Result
from app.cli.verify.families import CHECKS, FAMILIES
from app.cli.verify.journey import Journey
from app.cli.verify.runner import run, selected
from app.cli.verify.session import Options, Session
from app.cli.verify.view import View
from app.serving import until_stopped

_INTERRUPTED = {"SIGINT": 130, "SIGTERM": 143}


class Output(StrEnum):
    """How results are shown."""

    TEXT = "text"
    JSON = "json"


def verify(  # noqa: PLR0913  # an option each
    *,
    gateway: Annotated[
        str, typer.Option(help="URL of the gateway; the Route or the Gateway's status says it otherwise.")
    ] = "",
    cacert: Annotated[
        Path | None,
        typer.Option(help="CA certificates of the gateway (PEM).", exists=True, dir_okay=False),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept any certificate.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a caller token. Otherwise: MAAS_CALLER_TOKEN, `oc whoami -t`, the kubeconfig's.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
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
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the platform.")] = "maas",
    gateway_name: Annotated[str, typer.Option(help="Name of its Gateway.")] = "maas-default-gateway",
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Another kubeconfig than the usual.", exists=True, dir_okay=False)
    ] = None,
    context: Annotated[str | None, typer.Option(help="Another context than the current.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read and sent, and do nothing.")
    ] = False,
    output: Annotated[Output, typer.Option(help="How results are shown.")] = Output.TEXT,
) -> None:
    """Check that the platform works and that everything is enforced, from the cluster to a model's answer.

    It issues one MaaS token, `maasctl-verify`, asks a model for one token, and revokes the MaaS token.
    Nothing else is changed. docs/checks.md explains every check.

    Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage, 130 interrupted.
    """
    if unknown := set(only or ()) - set(FAMILIES):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: there are {', '.join(FAMILIES)}", param_hint="--only"
        )
    if cacert and insecure:
        raise typer.BadParameter("--cacert and --insecure contradict each other", param_hint="--insecure")
    if gateway and not gateway.startswith(("https://", "http://")):
        raise typer.BadParameter("expected a URL such as https://HOST", param_hint="--gateway")
    checks, console = selected(CHECKS, only or ()), Console(highlight=False, soft_wrap=True)
    if dry_run:
        if output is Output.JSON:
            typer.echo(report.plan_as_json(checks))
        else:
            report.show_plan(console, checks)
        return
    try:
        kubectl = Kubectl.find(kubeconfig=str(kubeconfig) if kubeconfig else None, context=context)
    except ProgramMissingError as error:
        typer.echo(f"maasctl verify: {error}", err=True)
        raise typer.Exit(1) from None
    options = Options(
        gateway_url=gateway,
        ca_file=cacert,
        insecure=insecure,
        token_file=token_file,
        caller_token=os.environ.get("MAAS_CALLER_TOKEN", "").strip(),
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
        raise typer.Exit(_INTERRUPTED[stopped_by])
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
