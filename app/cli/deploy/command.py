"""The command: options in, exit code out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.connection import Context, Kubeconfig, connect
from app.cli.deploy import manifests
from app.cli.deploy.display import Display, phase_table, summary
from app.cli.deploy.errors import ChoiceError, DeployError, TimedOutError
from app.cli.deploy.phases import DEFAULT_MODELS, Overlay, Phase, Serving, choose, phases
from app.cli.deploy.runner import Options, Outcome, Runner
from app.cli.interruption import exit_code
from app.cli.kubectl import Kubectl, KubectlError, UnreachableError
from app.serving import until_stopped
from app.tokens.duration import DurationError, parse_duration

_FAILED, _USAGE, _TIMED_OUT = 1, 2, 3


def deploy(
    *,
    overlay: Annotated[Overlay, typer.Option(help="What kind of cluster it is.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="PHASE", help="Run this phase only. May be repeated.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the phases and end.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be created or changed.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A model to deploy, of manifests/models. May be repeated."),
    ] = None,
    serving: Annotated[Serving, typer.Option(help="What brings KServe to OpenShift.")] = Serving.OPENSHIFT_AI,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]REFERENCE",
            help="Your own image of the service, or of NAME: maas-api, maas-embedded. May be repeated.",
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long each step may take to become ready.")
    ] = "20m",
    force_conflicts: Annotated[
        bool,
        typer.Option(
            "--force-conflicts",
            help="Overwrite what others have changed, the tier mapping in the cluster too.",
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--manifests", help="The directory manifests/ of a checkout; by default, this one's."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Deploy PrivateMaaS to a cluster, phase by phase, waiting for each.

    It runs the `oc` or `kubectl` that you are logged in with, and needs a cluster admin. It is safe to
    run again, and to interrupt: what is there stays, and it goes on where it stopped. What you have changed
    in the cluster is not overwritten: the tier mapping stays as you edited it, and anything else is reported.

    Try it first: maasctl deploy --overlay openshift --dry-run

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something was not ready in time,
    130 or 143 interrupted.
    """
    models = tuple(dict.fromkeys(model or DEFAULT_MODELS))
    try:
        found = manifests.find(directory)
        manifests.check_models(found, models)
        available = phases(overlay, serving=serving, models=models)
        chosen = choose(available, only or ())
        options = Options(
            overlay=overlay,
            directory=found,
            images=manifests.parse_images(image or ()),
            timeout_seconds=parse_duration(timeout),
            dry_run=dry_run,
            force_conflicts=force_conflicts,
        )
    except ChoiceError as error:
        typer.echo(f"maasctl deploy: {error}", err=True)
        raise typer.Exit(_USAGE) from None
    except DurationError as error:
        typer.echo(f"maasctl deploy: --timeout: {error}", err=True)
        raise typer.Exit(_USAGE) from None
    output = Console(highlight=False)
    if show:
        output.print(phase_table(available))
        return
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    kubectl = connect("deploy", kubeconfig, context)
    runner = Runner(kubectl, options, Display(progress, dry_run=dry_run))
    code = _run(runner, kubectl, chosen, progress)
    if runner.outcomes:
        output.print(summary(runner.outcomes))
    if code == 0:
        output.print(_advice(kubectl, options, runner.outcomes), soft_wrap=True)
    raise typer.Exit(code)


def _run(runner: Runner, kubectl: Kubectl, chosen: tuple[Phase, ...], progress: Console) -> int:
    """Run it, say what went wrong, and return the exit code."""
    display = Display(progress, dry_run=False)
    try:
        stopped_by = asyncio.run(until_stopped(runner.run(chosen)))
    except TimedOutError as error:
        display.timed_out(error, kubectl)
        return _TIMED_OUT
    except UnreachableError as error:
        display.fail(
            f"the cluster cannot be reached: {error}\n"
            "Log in, or choose another one with --kubeconfig or --context."
        )
        return _FAILED
    except (DeployError, KubectlError) as error:
        display.fail(str(error))
        return _FAILED
    if stopped_by is not None:
        display.fail("interrupted; run the same command again to go on from here")
        return exit_code(stopped_by)
    return 0


def _advice(kubectl: Kubectl, options: Options, outcomes: list[Outcome]) -> str:
    """What to do next."""
    if options.dry_run:
        return "Nothing was changed. Without --dry-run it is."
    if not any(outcome.phase.name == "models" for outcome in outcomes):
        return "Done."
    gateway, where = "", "--insecure"
    if options.overlay is Overlay.KUBERNETES:
        service = kubectl.command(
            *("get", "service", "--namespace=envoy-gateway-system"),
            "--selector=gateway.envoyproxy.io/owning-gateway-name=maas-default-gateway",
        )
        gateway, where = f"\n  The gateway:     {service}", "--gateway HOST --insecure"
    return (
        f"Done.{gateway}\n"
        f"  Does it work?    maasctl verify {where}\n"
        f"  The first token: maasctl token get {where}"
    )
