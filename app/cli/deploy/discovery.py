"""What is in the cluster already: kinds, namespaces, objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.cli.deploy.readiness import Pending, csv_of, key
from app.cli.kubectl import NotFoundError, UnknownKindError, items

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.cli.deploy.readiness import Document, Key
    from app.cli.kubectl import Kubectl

_BUILT_IN = frozenset(
    {
        "v1",
        "apps/v1",
        "autoscaling/v2",
        "batch/v1",
        "networking.k8s.io/v1",
        "policy/v1",
        "rbac.authorization.k8s.io/v1",
    }
)


async def unserved(kubectl: Kubectl, kinds: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the pairs of `apiVersion` and kind that the API server does not know, in order.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    wanted = {pair: None for pair in kinds if pair[0] not in _BUILT_IN}
    served: dict[str, set[str]] = {}
    for api_version, _ in wanted:
        if api_version not in served:
            served[api_version] = await _kinds(kubectl, api_version)
    return [(api_version, kind) for api_version, kind in wanted if kind not in served[api_version]]


def kinds(documents: Iterable[Document]) -> list[tuple[str, str]]:
    """The pairs of `apiVersion` and kind of objects."""
    return [(document["apiVersion"], document["kind"]) for document in documents]


def missing_kind(api_version: str, kind: str) -> Pending:
    """That a kind becomes known to the API server."""
    group = api_version.rpartition("/")[0]
    seen = "the cluster does not know it yet; its operator brings it"
    return Pending(f"the kind {kind} of {api_version}", seen, ("api-resources", f"--api-group={group}"))


async def namespaces(kubectl: Kubectl) -> set[str]:
    """The names of all namespaces.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    found = items(await kubectl.json("get", "namespaces"))
    return {namespace["metadata"]["name"] for namespace in found}


async def existing(kubectl: Kubectl, documents: Sequence[Document]) -> dict[Key, Document]:
    """Objects as they are in the cluster, with their managed fields; what does not exist is left out.

    Raises:
        UnknownKindError: a kind is not served.
        KubectlError: the cluster cannot be asked.
    """
    if not documents:
        return {}
    # No more than is needed to find them.
    asked = [
        {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "metadata": {
                name: value for name, value in document["metadata"].items() if name in ("name", "namespace")
            },
        }
        for document in documents
    ]
    found = await kubectl.json(
        *("get", "--filename=-", "--ignore-not-found", "--show-managed-fields"),
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": asked}),
    )
    return {key(document): document for document in items(found)}


async def with_csvs(kubectl: Kubectl, live: dict[Key, Document]) -> dict[Key, Document]:
    """`live` and the ClusterServiceVersions of its Subscriptions.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    subscriptions = (document for found, document in live.items() if found[1] == "Subscription")
    csvs = [csv for csv in map(csv_of, subscriptions) if csv is not None]
    return {**live, **await existing(kubectl, csvs)}


async def subscriptions(kubectl: Kubectl) -> list[Document]:
    """Every Subscription to an operator, in all namespaces; none where there is no OLM.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    try:
        return items(await kubectl.json("get", "subscriptions.operators.coreos.com", "--all-namespaces"))
    except UnknownKindError:
        return []


def without_duplicates(
    documents: Sequence[Document], found: Iterable[Document]
) -> tuple[list[Document], list[Document]]:
    """Objects without operators that are installed already under another name or in another namespace.

    Two Subscriptions to one operator hinder each other. Such an operator's OperatorGroup goes with its
    Subscription.

    Returns:
        The remaining objects, and the Subscriptions that are there instead.
    """
    others: dict[str, list[Document]] = {}
    for subscription in found:
        others.setdefault(subscription["spec"]["name"], []).append(subscription)
    remaining = list(documents)
    instead: list[Document] = []
    left_out: set[str] = set()
    for document in documents:
        if document["kind"] != "Subscription":
            continue
        same = others.get(document["spec"]["name"], [])
        if same and not any(key(other) == key(document) for other in same):
            instead.append(same[0])
            left_out.add(document["metadata"]["namespace"])
            remaining.remove(document)
    remaining = [
        document
        for document in remaining
        if document["kind"] != "OperatorGroup" or document["metadata"]["namespace"] not in left_out
    ]
    return remaining, instead


async def _kinds(kubectl: Kubectl, api_version: str) -> set[str]:
    try:
        answer = json.loads(await kubectl.text("get", "--raw", f"/apis/{api_version}"))
    except NotFoundError:
        return set()
    return {resource["kind"] for resource in answer.get("resources", ())}
