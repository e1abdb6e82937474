"""What is deployed, and in which order: folders of manifests/.

What a step waits for follows from what its folders hold (`readiness`); what must be there before it, from the
kinds that they use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from app.cli.deploy.errors import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Overlay(StrEnum):
    """The folders of manifests/overlays."""

    OPENSHIFT = "openshift"
    KUBERNETES = "kubernetes"


class Serving(StrEnum):
    """What brings KServe to OpenShift."""

    OPENSHIFT_AI = "openshift-ai"
    OPENDATAHUB = "opendatahub"


@dataclass(frozen=True)
class Phase:
    """A part of the deployment that can be run alone.

    Attributes:
        name: what `--only` takes.
        about: one line for people.
        steps: folders of manifests/; those of a step are applied together, and each step waits for the one
            before. Empty for the check of what must be there.
        minutes: how long it takes; an estimate.
        optional: whether it runs only where `--only` names it.
    """

    name: str
    about: str
    steps: tuple[tuple[str, ...], ...] = ()
    minutes: int = 0
    optional: bool = False


PREREQUISITES = "prerequisites"
DEFAULT_MODELS = ("simulator",)

_PLATFORM_OF = {Serving.OPENSHIFT_AI: "platform/model-serving", Serving.OPENDATAHUB: "platform/opendatahub"}


def phases(
    overlay: Overlay, *, serving: Serving = Serving.OPENSHIFT_AI, models: Sequence[str] = DEFAULT_MODELS
) -> tuple[Phase, ...]:
    """All phases of an overlay, in order, the optional ones too."""
    maas = Phase(
        "maas",
        "the service, the gateway, its policies",
        ((f"overlays/{overlay}",),),
        minutes=5 if overlay is Overlay.OPENSHIFT else 2,
    )
    last = Phase("models", ", ".join(models), (tuple(f"models/{model}" for model in models),), minutes=5)
    if overlay is Overlay.KUBERNETES:
        about = "cert-manager, Envoy Gateway and KServe are there, and you may install"
        return Phase(PREREQUISITES, about), maas, last
    operators = (
        ("operators/cert-manager", f"operators/{serving}", "platform/gateway-class"),
        # Last: its operator looks for Istio once, when it starts, and the GatewayClass brings Istio.
        ("operators/connectivity-link",),
    )
    return (
        Phase(PREREQUISITES, "this is OpenShift 4.19 or newer, and you may install"),
        Phase("operators", "cert-manager, Connectivity Link and model serving", operators, minutes=10),
        Phase(
            "platform",
            "Kuadrant, and KServe by way of a DataScienceCluster",
            (("platform/kuadrant", _PLATFORM_OF[serving]),),
            minutes=10,
        ),
        _optional("serverless", "models that scale to zero", "platform/serverless"),
        _optional("leader-worker-set", "models that span nodes", "platform/leader-worker-set"),
        _optional("servicemesh", "models in a mesh"),
        maas,
        last,
    )


def choose(available: Sequence[Phase], only: Iterable[str]) -> tuple[Phase, ...]:
    """The phases to run, in order: those named, or all that are not optional where none is.

    Raises:
        ChoiceError: there is no phase of such a name.
    """
    wanted = set(only)
    names = [phase.name for phase in available]
    if unknown := sorted(wanted.difference(names)):
        raise ChoiceError(f"there is no phase {', '.join(unknown)}; the phases are {', '.join(names)}")
    if not wanted:
        return tuple(phase for phase in available if not phase.optional)
    return tuple(phase for phase in available if phase.name in wanted)


def _optional(name: str, about: str, *platform: str) -> Phase:
    steps = ((f"operators/{name}",), *((folder,) for folder in platform))
    return Phase(name, f"optional: {about}", steps, minutes=5, optional=True)
