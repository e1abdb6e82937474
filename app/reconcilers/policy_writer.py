"""Writes limits into one policy, and takes nothing from whoever is no installer of the shipped manifests.

Every write names the uid and the resourceVersion of the policy that it was made for: it creates nothing, and
comes too late if anybody else was faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.kube.errors import FieldConflict, KubeConflictError
from app.limits.fields import differences, owners, without
from app.limits.policy import FIELD_MANAGER

if TYPE_CHECKING:
    from app.kube.client import JsonObject, KubeClient
    from app.limits.policy import Policy, Wanted


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it.

    Attributes:
        changed: whether the policy is another one now.
        kept: fields that others keep as they should not be.
    """

    changed: bool
    kept: tuple[FieldConflict, ...]


class PolicyWriter:
    """The one who writes one policy."""

    def __init__(
        self, client: KubeClient, policy: Policy, *, namespace: str, installers: frozenset[str]
    ) -> None:
        """Make a writer.

        Args:
            client: the cluster.
            policy: which policy.
            namespace: where it is.
            installers: field managers whose fields are taken over.
        """
        self._client = client
        self._policy = policy
        self._namespace = namespace
        self._installers = installers

    async def write(self, obj: JsonObject, wanted: Wanted) -> Written:
        """Make the policy what is wanted, but for the fields that others keep.

        Args:
            obj: the policy as it was last seen.
            wanted: what it should say.

        Raises:
            KubeConflictError: it is not what was last seen.
            KubeError: the API server is away, or does not accept it.
        """
        spec = {"spec": wanted.spec}
        kept: tuple[FieldConflict, ...] = ()
        try:
            answer = await self._apply(obj, spec, force=False)
        except KubeConflictError as error:
            if not error.field_conflicts:
                raise
            others = [each for each in error.field_conflicts if each.manager not in self._installers]
            rest = without(spec, {each.field for each in others})
            answer = await self._apply(obj, rest, force=True) if rest else obj
            wrong = list(differences(obj.get("spec"), wanted.spec, ".spec"))
            # A default that the API server filled in makes equal fields a conflict too.
            kept = tuple(
                each for each in others if any(f"{field}.".startswith(f"{each.field}.") for field in wrong)
            )
        answer, also_kept = await self._remove(answer, wanted)
        changed = answer["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]
        return Written(changed, kept + also_kept)

    async def _apply(self, obj: JsonObject, fields: JsonObject, *, force: bool) -> JsonObject:
        policy = self._policy
        body = {
            "apiVersion": policy.resource.api_version,
            "kind": policy.kind,
            "metadata": _precondition(obj),
            **fields,
        }
        return await self._client.apply(
            policy.resource,
            policy.name,
            body,
            namespace=self._namespace,
            field_manager=FIELD_MANAGER,
            force=force,
        )

    async def _remove(self, obj: JsonObject, wanted: Wanted) -> tuple[JsonObject, tuple[FieldConflict, ...]]:
        """Remove what should not be there and was left by an installer; return the policy and what stays."""
        patch: dict[str, Any] = {}
        kept = []
        for path in wanted.removed:
            others = owners(obj, "spec", *path) - self._installers - {FIELD_MANAGER}
            if others:
                kept += [FieldConflict(other, ".".join(("", "spec", *path))) for other in sorted(others)]
                continue
            place = patch
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = None
        if patch:
            policy = self._policy
            body = {"metadata": _precondition(obj), "spec": patch}
            obj = await self._client.merge_patch(
                policy.resource, policy.name, body, namespace=self._namespace
            )
        return obj, tuple(kept)


def _precondition(obj: JsonObject) -> JsonObject:
    return {key: obj["metadata"][key] for key in ("uid", "resourceVersion")}
