"""Does the service run?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from app.cli import conditions
from app.cli.verify.check import Check, Outcome, failed, passed, skipped, verdict, warned
from app.cli.verify.replicas import forwarded
from app.cli.verify.view import DEPLOYMENTS, SERVICE

if TYPE_CHECKING:
    from app.cli.verify.session import Session


async def _reachable(session: Session) -> Outcome:
    return passed(f"Kubernetes {await session.view.version()}, by {session.view.kubectl.name}")


async def _whole(session: Session) -> Outcome:
    if await session.view.embedded():
        return skipped("`maasctl up` has neither pods nor a Gateway in its cluster")
    return passed("it is")


async def _deployment(session: Session) -> Outcome:
    deployment = await session.view.one(DEPLOYMENTS, SERVICE)
    if deployment is None:
        return failed(f"there is no Deployment {SERVICE} in the namespace {session.view.namespace}")
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    problems = list(conditions.unmet(status.get("conditions"), "Available"))
    if ready < wanted or updated < wanted:
        problems.append(f"{ready} of {wanted} replicas are ready, {updated} of them up to date")
        problems += [reason for pod in await session.view.pods() for reason in _waiting(pod)]
    return verdict(problems, f"{ready} of {wanted} replicas are ready")


def _waiting(pod: dict[str, Any]) -> list[str]:
    """Why the containers of a pod do not run."""
    return [
        f"{pod['metadata']['name']}: {waiting.get('reason')}"
        for container in pod.get("status", {}).get("containerStatuses", ())
        if (waiting := container.get("state", {}).get("waiting"))
    ]


async def _ready(session: Session) -> Outcome:
    problems, degraded = [], []
    pods = await session.view.pods()
    for pod in pods:
        name = pod["metadata"]["name"]
        async with forwarded(session.view, name) as url, httpx.AsyncClient(trust_env=False) as client:
            answer = (await client.get(f"{url}/readyz", timeout=10)).json()
        said = "; ".join(filter(None, (*answer["problems"], answer["mapping"]["error"])))
        if answer["status"] == "unavailable":
            problems.append(f"{name}: {said}")
        elif answer["status"] != "ok":
            degraded.append(f"{name}: {said}")
    if not pods:
        return failed("no pod of the service was found")
    if problems or not degraded:
        return verdict(problems, f"{len(pods)} of {len(pods)} say so")
    return warned("; ".join(degraded))


_LOG = "{kubectl} logs -n {namespace} deployment/maas-api"

CHECKS = (
    Check(
        "cluster.reachable",
        "Does the cluster answer?",
        "its version",
        "log in (oc login), or name a kubeconfig with --kubeconfig",
        _reachable,
    ),
    Check(
        "cluster.whole",
        "Is it a whole cluster, with pods and a gateway of its own?",
        "its version",
        "see cluster.reachable",
        _whole,
        ("cluster.reachable",),
    ),
    Check(
        "cluster.deployment",
        "Do all replicas of the service run?",
        "the Deployment maas-api and its pods",
        "{kubectl} describe deployment,pods -n {namespace} -l app.kubernetes.io/name=maas-api",
        _deployment,
        ("cluster.whole",),
    ),
    Check(
        "cluster.ready",
        "Does each replica say that it can decide?",
        "GET /readyz of each pod, through a port-forward",
        _LOG,
        _ready,
        ("cluster.deployment",),
    ),
)
