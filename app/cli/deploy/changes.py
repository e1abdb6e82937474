"""Applying objects, and telling what that has changed.

The API server merges what is applied into what is there (server-side apply), so applying again changes
nothing, and what others have added stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from app.cli.conditions import title
from app.cli.deploy.discovery import existing, kinds, namespaces, unserved
from app.cli.deploy.errors import ConflictingOwnersError
from app.cli.deploy.readiness import key
from app.cli.kubectl import FIELD_MANAGER, ConflictError
from app.limits.fields import owners, without
from app.limits.policy import FIELD_MANAGER as SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.cli.deploy.readiness import Document, Key
    from app.cli.kubectl import Kubectl

MAPPING = "tier-to-group-mapping"

# What `kubectl apply` calls itself, of either side, and so does `oc apply`.
_BY_HAND = frozenset({"kubectl-client-side-apply", "kubectl", "oc"})
# What the API server writes itself.
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation")


class Effect(StrEnum):
    """What applying an object did, or would do."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Change:
    """One object and what became of it.

    Attributes:
        document: as the manifests have it.
        effect: what was done with it.
        why: for `kept` and `unchecked`.
    """

    document: Document
    effect: Effect
    why: str = ""


async def apply(
    kubectl: Kubectl, documents: Sequence[Document], *, dry_run: bool = False, force_conflicts: bool = False
) -> list[Change]:
    """Apply objects, and tell what that changed, or would change.

    What was applied by hand before is taken over. Two things stay as they are once they were changed in the
    cluster, unless `force_conflicts` is given: the tier mapping, which is the operators' own, and the limits
    that the service keeps equal to it. A dry run leaves out what only an earlier phase makes possible:
    objects of kinds and in namespaces that are not there yet.

    Raises:
        ConflictingOwnersError: fields belong to somebody else. Everything else was applied.
        KubectlError: the cluster refuses an object, or cannot be asked.
    """
    aside = await _unchecked(kubectl, documents) if dry_run else {}
    checked = [document for document in documents if key(document) not in aside]
    before = await existing(kubectl, checked)
    if not force_conflicts:
        aside |= _kept(checked, before)
    asked = [document for document in documents if key(document) not in aside]
    try:
        applied = await kubectl.apply(asked, dry_run=dry_run, force_conflicts=force_conflicts)
    except ConflictError:
        # The message does not say of which object.
        applied = await _one_by_one(kubectl, asked, dry_run=dry_run)
    after = {key(document): document for document in applied}
    return [
        aside.get(found) or Change(document, _effect(before.get(found), after.get(found)))
        for found, document in ((key(document), document) for document in documents)
    ]


def _effect(before: Document | None, after: Document | None) -> Effect:
    if before is None:
        return Effect.CREATED
    return Effect.UNCHANGED if _content(before) == _content(after or {}) else Effect.CHANGED


def _content(document: Document) -> Document:
    metadata = {
        name: value for name, value in document.get("metadata", {}).items() if name not in _BOOKKEEPING
    }
    return {**document, "metadata": metadata, "status": None}


async def _unchecked(kubectl: Kubectl, documents: Sequence[Document]) -> dict[Key, Change]:
    unknown = await unserved(kubectl, kinds(documents))
    there = await namespaces(kubectl)
    aside = {}
    for document in documents:
        namespace = document["metadata"].get("namespace")
        why = ""
        if (document["apiVersion"], document["kind"]) in unknown:
            why = "its kind comes with an operator that is not there yet"
        elif namespace and namespace not in there:
            why = f"there is no namespace {namespace} yet"
        if why:
            aside[key(document)] = Change(document, Effect.UNCHECKED, why)
    return aside


def _kept(documents: Sequence[Document], live: Mapping[Key, Document]) -> dict[Key, Change]:
    """The tier mapping, where somebody has changed it in the cluster."""
    aside = {}
    for document in documents:
        found = live.get(key(document))
        if found is None or document["kind"] != "ConfigMap" or document["metadata"]["name"] != MAPPING:
            continue
        others = owners(found, "data") - {FIELD_MANAGER}
        if others and document.get("data") != found.get("data"):
            why = f"{min(others)} has changed it since; --force-conflicts overwrites that"
            aside[key(document)] = Change(document, Effect.KEPT, why)
    return aside


async def _one_by_one(kubectl: Kubectl, documents: Sequence[Document], *, dry_run: bool) -> list[Document]:
    """Apply objects, taking over what was applied by hand.

    Raises:
        ConflictingOwnersError: other fields belong to somebody else; says of which objects, and what to do.
        KubectlError: the cluster refuses an object, or cannot be asked.
    """
    applied: list[Document] = []
    refused = []
    for document in documents:
        try:
            applied += await kubectl.apply([document], dry_run=dry_run)
        except ConflictError as error:
            conflicts = _conflicts(error)
            if others := conflicts.keys() - _BY_HAND - {SERVICE}:
                said = "; ".join(f"{owner} has set {', '.join(conflicts[owner])}" for owner in sorted(others))
                refused.append(f"  {title(document)}: {said}")
                continue
            rest = without(document, set(conflicts[SERVICE]))
            applied += await kubectl.apply([rest], dry_run=dry_run, force_conflicts=True)
    if refused:
        where = "\n".join(refused)
        raise ConflictingOwnersError(
            f"somebody else has changed what the manifests say, and keeps it:\n{where}\n"
            "Change the manifests to match, or overwrite it: run the same again with --force-conflicts."
        )
    return applied


def _conflicts(error: ConflictError) -> defaultdict[str, list[str]]:
    """Which field manager keeps which fields, by the program's message.

    It has `conflict with "a" using v1: .spec.x`, or `conflicts with "a" using v1:` and a line `- .spec.x` for
    each field.
    """
    found = defaultdict[str, list[str]](list)
    manager = ""
    for line in str(error).partition("\nPlease review")[0].splitlines():
        if named := re.search(r'conflicts? with "([^"]+)"[^:]*:\s*(\S.*)?$', line):
            manager = named[1]
            found[manager] += [named[2]] if named[2] else []
        elif line.startswith("- "):
            found[manager].append(line.removeprefix("- "))
    return found
