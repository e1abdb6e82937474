"""What the checks of one run share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from app.cli.verify.journey import Journey
    from app.cli.verify.view import View


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose.

    Attributes:
        gateway_url: the gateway's address; empty for the one that the cluster tells.
        kubeconfig: where the login's caller token is; None for the usual place.
        context: of the kubeconfig; None for its current one.
        ca_file: certificates to trust; None for the system's.
        insecure: whether any certificate will do.
        token_file: where the caller token is; None for the environment, or the login.
        model: the model to ask; empty for the first that is ready.
        spend_limit: whether the caller's limit may be used up.
        metrics_urls: where each replica's metrics are; empty for port-forwards to its pods.
        prometheus_url: the Prometheus that collects them; empty for none.
    """

    gateway_url: str = ""
    kubeconfig: Path | None = None
    context: str | None = None
    ca_file: Path | None = None
    insecure: bool = False
    token_file: Path | None = None
    model: str = ""
    spend_limit: bool = False
    metrics_urls: tuple[str, ...] = ()
    prometheus_url: str = ""


@dataclass(slots=True)
class Session:
    """One run.

    Attributes:
        options: what the operator chose.
        view: the cluster.
        journey: the way through the gateway.
        counted: the service's counters before the journey, added up over its replicas.
    """

    options: Options
    view: View
    journey: Journey
    counted: dict[str, float] = field(default_factory=dict)
