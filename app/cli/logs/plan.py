"""Finds out what there is to collect, and what there is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.cli.kubectl import KubectlError, UnauthorizedError, UnreachableError, items
from app.cli.logs.sources import CLUSTER_KINDS, KINDS, MODELS, Source, model_sources, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.cli.kubectl import Kubectl

_MODEL_KINDS = ("inferenceservices.serving.kserve.io", "llminferenceservices.serving.kserve.io")


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one container."""

    component: str
    namespace: str
    pod: str
    container: str
    previous: bool = False


@dataclass(slots=True)
class Plan:
    """What is to be collected.

    Attributes:
        logs: of containers.
        namespaces: those with a part of the platform in it, whose events and objects are collected.
        kinds: those of `KINDS` that the cluster knows.
        cluster_kinds: those of `CLUSTER_KINDS`.
        images: of the containers, by component: what runs, and the digest it was.
        missing: what could not be looked at, and why.
    """

    logs: list[Log] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    cluster_kinds: list[str] = field(default_factory=list)
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


async def make_plan(kubectl: Kubectl, *, namespace: str, gateway: str, models: bool) -> Plan:
    """Look around in the cluster; what may not be looked at is noted and passed over.

    Raises:
        UnreachableError: there is no cluster.
        UnauthorizedError: it does not know the user.
        ProgramMissingError: there is no way to it.
    """
    plan = Plan()
    known = set((await _text(kubectl, plan, "api-resources", "--output=name", "--cached=false")).split())
    plan.kinds = [kind for kind in KINDS if kind in known]
    plan.cluster_kinds = [kind for kind in CLUSTER_KINDS if kind in known]
    exist = await _namespaces(kubectl, plan)
    places = [*sources(namespace, gateway)]
    if models:
        found = [
            model
            for kind in _MODEL_KINDS
            if kind in known
            for model in await _list(kubectl, plan, kind, "--all-namespaces")
        ]
        places += model_sources({model["metadata"]["namespace"] for model in found})
    seen: set[tuple[str, str]] = set()
    for place in places:
        if exist is not None and place.namespace not in exist:
            continue
        if "pods" not in known:
            pods = []
        else:
            pods = await _list(
                kubectl, plan, "pods", f"--namespace={place.namespace}", f"--selector={place.selector}"
            )
        # A namespace that is known to exist says something by what it lacks, too.
        if (pods or exist is not None) and place.namespace not in plan.namespaces:
            plan.namespaces.append(place.namespace)
        for pod in pods:
            if (place.namespace, pod["metadata"]["name"]) not in seen:
                seen.add((place.namespace, pod["metadata"]["name"]))
                plan.logs += _logs(place, pod)
                plan.images.setdefault(place.component, {}).update(_images(pod))
    return plan


def _logs(source: Source, pod: dict[str, Any]) -> Iterator[Log]:
    name = pod["metadata"]["name"]
    restarted = {
        status["name"]
        for status in _statuses(pod)
        if status.get("lastState", {}).get("terminated") or status.get("restartCount", 0)
    }
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        yield Log(source.component, source.namespace, name, container["name"])
        if container["name"] in restarted:
            yield Log(source.component, source.namespace, name, container["name"], previous=True)


def _images(pod: dict[str, Any]) -> dict[str, str]:
    digests = {status["name"]: status.get("imageID", "") for status in _statuses(pod)}
    return {container["image"]: digests.get(container["name"], "") for container in pod["spec"]["containers"]}


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


async def _namespaces(kubectl: Kubectl, plan: Plan) -> set[str] | None:
    """The names of all namespaces; None if they may not be listed."""
    before = len(plan.missing)
    found = await _list(kubectl, plan, "namespaces")
    return None if len(plan.missing) > before else {each["metadata"]["name"] for each in found}


async def _list(kubectl: Kubectl, plan: Plan, *arguments: str) -> list[dict[str, Any]]:
    try:
        return items(await kubectl.json("get", *arguments))
    except (UnreachableError, UnauthorizedError):
        raise
    except KubectlError as error:
        plan.missing.append(note(" ".join(arguments), error))
        return []


async def _text(kubectl: Kubectl, plan: Plan, *arguments: str) -> str:
    try:
        return await kubectl.text(*arguments)
    except (UnreachableError, UnauthorizedError):
        raise
    except KubectlError as error:
        plan.missing.append(note(" ".join(arguments), error))
        return ""


def note(what: str, error: Exception) -> str:
    """A line of missing.txt."""
    return f"{what}: {' '.join(str(error).split())}"


def is_model(log: Log) -> bool:
    """Whether it is what a model wrote, which may quote what people asked it."""
    return log.component == MODELS
