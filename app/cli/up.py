"""`maasctl up`: the whole platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console

from app.cli.environment import read_settings
from app.embedded.directory import DirectoryTakenError
from app.embedded.gateway import GatewayError
from app.embedded.gateway import PortTakenError as GatewayPortTakenError
from app.embedded.people import PEOPLE
from app.embedded.platform import NotReadyError, Platform, PlatformOptions, platform
from app.kube.errors import KubeError
from app.observability.logging import configure
from app.observability.tracing import TracingError
from app.serving import PortTakenError, until_stopped
from app.settings import Settings, TracingSettings

# Where the log goes while the terminal shows how to use the platform.
_LOG = "maas-api.log"


def up(
    *,
    port: Annotated[int, typer.Option(help="Port of the gateway (HTTPS).")] = 8443,
    cluster_port: Annotated[int, typer.Option(help="Port of the embedded cluster (HTTPS).")] = 8444,
    state_dir: Annotated[Path, typer.Option(help="Where kubeconfig, certificates and logs go.")] = Path(
        ".maas"
    ),
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Use this real cluster instead of the embedded one.", exists=True, dir_okay=False),
    ] = None,
    first_token: Annotated[
        float, typer.Option(min=0, help="Seconds the model takes for its first token.")
    ] = 0.0,
    per_token: Annotated[
        float, typer.Option(min=0, help="Seconds the model takes for each further token.")
    ] = 0.02,
    otlp_endpoint: Annotated[
        str | None,
        typer.Option(help="Send traces to this OTLP/HTTP collector, such as http://localhost:4318."),
    ] = None,
    user_metrics: Annotated[
        bool, typer.Option(help="Whether the gateway's counters say which user, or only tier and model.")
    ] = True,
) -> None:
    """Run the whole platform on this machine: cluster, service, gateway (Envoy) and a simulated model.

    The embedded cluster is a double for this machine only. Ctrl-C stops everything.
    """
    options = PlatformOptions(
        state_dir=state_dir,
        port=port,
        cluster_port=cluster_port,
        kubeconfig=str(kubeconfig) if kubeconfig else None,
        first_token_seconds=first_token,
        token_seconds=per_token,
        user_metrics=user_metrics,
    )
    settings = _traced(read_settings(), otlp_endpoint)
    console = Console(highlight=False, soft_wrap=True)
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        log = (state_dir / _LOG).open("a", encoding="utf-8")
    except OSError as error:
        _fail(f"{state_dir} cannot be written to: {error.strerror}", option="--state-dir", value="DIRECTORY")
    with log:
        configure(settings.log.level, "json", stream=log)
        try:
            uvloop.run(until_stopped(_up(options, settings, console)))
        except PortTakenError as error:
            _fail(str(error), option="--cluster-port", value=_another(error.port))
        except GatewayPortTakenError as error:
            _fail(str(error), option="--port", value=_another(error.port))
        except DirectoryTakenError as error:
            _fail(str(error), option="--state-dir", value="DIRECTORY")
        except (GatewayError, KubeError, NotReadyError, TracingError) as error:
            _fail(f"{error}\nThe log: {(state_dir / _LOG).absolute()}")


def _traced(settings: Settings, endpoint: str | None) -> Settings:
    if endpoint is None:
        return settings
    given = {**settings.tracing.model_dump(), "endpoint": endpoint}
    try:
        return settings.model_copy(update={"tracing": TracingSettings.model_validate(given)})
    except ValidationError as error:
        message = str(error.errors(include_input=False)[0]["msg"])
        raise typer.BadParameter(message, param_hint="--otlp-endpoint") from None


async def _up(options: PlatformOptions, settings: Settings, console: Console) -> None:
    with console.status("Starting …") as status:
        async with platform(
            options, settings, step=lambda what: status.update(f"Starting {what} …")
        ) as running:
            status.stop()
            console.print(_banner(options, running))
            try:
                code = await running.gateway.wait()
            finally:
                status.update("Stopping …")
                status.start()
            raise GatewayError(f"Envoy ended with exit code {code}")


def _another(port: int) -> int:
    """A port to propose in place of one that is taken."""
    return port + 1000 if port < 60000 else port - 1000  # noqa: PLR2004  # there is no port beyond 65535


def _fail(message: str, *, option: str = "", value: object = "") -> NoReturn:
    typer.echo(f"maasctl up: {message}", err=True)
    if option:
        typer.echo(
            f"Choose another: maasctl up {option} {value}, or make run ARGS='{option} {value}'", err=True
        )
    raise typer.Exit(1)


def _banner(options: PlatformOptions, running: Platform) -> str:
    gateway = f"localhost:{running.gateway.address[1]}"
    cluster = running.cluster
    if cluster is not None:
        people = "\n".join(f"  [cyan]{person.token:<13}[/] {person.about}" for person in PEOPLE)
        who, token = f"People to try it as:\n{people}", PEOPLE[0].token
        below = _CLUSTER.format(kubeconfig=cluster.kubeconfig.absolute())
    else:
        who, token, below = f"The cluster is the one of {options.kubeconfig}.", "$(oc whoami -t)", ""
    models = [model_id for model_id, _ in running.service.catalogue.items()]
    return _BANNER.format(
        gateway=gateway,
        who=who,
        token=token,
        model="qwen3" if "qwen3" in models else next(iter(models), "MODEL"),
        cluster=below,
        metrics=f"http://{running.gateway_app.host}:{running.gateway_app.port}/metrics",
        meters="http://{}:{}/stats/prometheus".format(*running.gateway.admin),
        prometheus=running.prometheus.absolute(),
        log=(options.state_dir / _LOG).absolute(),
    )


_BANNER = r"""
[bold green]PrivateMaaS is up:[/] [bold]https://{gateway}[/]  (self-signed certificate; Ctrl-C stops it)

{who}

Paste into another terminal:
  export GATEWAY_URL={gateway} TOKEN={token}
  curl -k -X POST https://$GATEWAY_URL/maas-api/token -H "Authorization: Bearer $TOKEN"

  MAAS_TOKEN=$(curl -sk -X POST https://$GATEWAY_URL/maas-api/token \
    -H "Authorization: Bearer $TOKEN" | cut -d'"' -f4)
  curl -k https://$GATEWAY_URL/v1/models -H "Authorization: Bearer $MAAS_TOKEN"
  curl -k https://$GATEWAY_URL/v1/chat/completions -H "Authorization: Bearer $MAAS_TOKEN" \
    -H "Content-Type: application/json" \
    -d '{{"model": "{model}", "messages": \[{{"role": "user", "content": "Hello!"}}]}}'
{cluster}
API documentation: https://{gateway}/maas-api/docs
Metrics:           {metrics}
Gateway's metrics: {meters}
Prometheus:        prometheus --config.file={prometheus}
Log:               {log}
"""

_CLUSTER = """
The cluster, a double for this machine only; what is in it is gone when it stops:
  export KUBECONFIG={kubeconfig}
  kubectl get sa -n maas -L tier
  kubectl edit configmap tier-to-group-mapping -n maas
"""
