"""The table of resources that the API serves. Another kind is another line here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from app.embedded.kubernetes.errors import GroupName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

STORED_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
REVIEW_VERBS = ("create",)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`: a dotted path into the object, or `[Type]` for a condition's status."""

    name: str
    path: str
    type: str = "string"


AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource of the API. Resources are compared by identity.

    Attributes:
        group: The API group; empty for the core group.
        custom: Whether a real cluster serves it from a CustomResourceDefinition, which has rules of its own.
        subresources: `status` or `token`, if it has them.
        create_by_put: Whether an update of an object that does not exist creates it.
        blind_put: Whether an update may leave the resourceVersion out.
        stored: False for the reviews, which are answered and forgotten.
        returns_deleted: Whether a delete answers with the object instead of a Status.
        columns: What `kubectl get` prints between name and age; see `tables` for those that are computed.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    custom: bool = False
    stored: bool = True
    create_by_put: bool = False
    blind_put: bool = True
    returns_deleted: bool = False
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = field(default=(AGE,))

    @property
    def status(self) -> bool:
        """Whether the status is changed on its own, by a subresource."""
        return "status" in self.subresources

    @property
    def group_version(self) -> str:
        """`v1` or `group/version`: what objects carry as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs that are served on the resource itself."""
        return STORED_VERBS if self.stored else REVIEW_VERBS

    @cached_property
    def identity(self) -> bytes:
        """How the JSON of every object of the resource begins."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.group_version}",'.encode()

    @cached_property
    def qualified(self) -> GroupName:
        """The resource as errors name it: `configmaps`, `roles.rbac.authorization.k8s.io`."""
        return GroupName(self.group, self.plural)

    @cached_property
    def qualified_kind(self) -> GroupName:
        """The kind as errors name it: `ConfigMap`, `Role.rbac.authorization.k8s.io`."""
        return GroupName(self.group, self.kind)


def _custom(
    group_version: str,
    kind: str,
    plural: str,
    *columns: Column,
    namespaced: bool = True,
    short_names: tuple[str, ...] = (),
    status: bool = True,
) -> Resource:
    group, version = group_version.split("/")
    return Resource(
        group,
        version,
        kind,
        plural,
        namespaced=namespaced,
        short_names=short_names,
        custom=True,
        subresources=("status",) if status else (),
        blind_put=False,
        columns=(*columns, AGE),
    )


_URL, _READY = Column("URL", ".status.url"), Column("Ready", "[Ready]")

NAMESPACES = Resource(
    "", "v1", "Namespace", "namespaces", namespaced=False, short_names=("ns",), subresources=("status",),
    columns=(Column("Status", ".status.phase"), AGE),
)  # fmt: skip
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", short_names=("cm",))
SECRETS = Resource("", "v1", "Secret", "secrets")
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    short_names=("sa",),
    subresources=("token",),
    returns_deleted=True,
)
EVENTS = Resource(
    "", "v1", "Event", "events", short_names=("ev",),
    columns=(
        Column("Last Seen", ".lastTimestamp", "date"), Column("Type", ".type"), Column("Reason", ".reason"),
        Column("Message", ".message"),
    ),
)  # fmt: skip

_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "Role", "roles", create_by_put=True)
ROLE_BINDINGS = Resource(_RBAC, "v1", "RoleBinding", "rolebindings", create_by_put=True)
CLUSTER_ROLES = Resource(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False, create_by_put=True)
CLUSTER_ROLE_BINDINGS = Resource(
    _RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, create_by_put=True
)

_KSERVE = "serving.kserve.io"
_AUTHN, _AUTHZ = "authentication.k8s.io", "authorization.k8s.io"

DEFAULT = (
    NAMESPACES,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    EVENTS,
    Resource(_AUTHN, "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, stored=False),
    Resource(_AUTHN, "v1", "TokenReview", "tokenreviews", namespaced=False, stored=False),
    Resource(_AUTHZ, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", stored=False),
    Resource(
        _AUTHZ, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False, stored=False
    ),
    Resource(
        _AUTHZ, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False, stored=False
    ),
    Resource(_AUTHZ, "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False, stored=False),
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    Resource(
        "coordination.k8s.io", "v1", "Lease", "leases", create_by_put=True, blind_put=False,
        columns=(Column("Holder", ".spec.holderIdentity"), AGE),
    ),
    _custom(
        "user.openshift.io/v1", "Group", "groups", Column("Users", ".users"), namespaced=False, status=False
    ),
    _custom(
        f"{_KSERVE}/v1beta1", "InferenceService", "inferenceservices", _URL, _READY, short_names=("isvc",)
    ),
    _custom(
        f"{_KSERVE}/v1alpha1", "LLMInferenceService", "llminferenceservices", _URL, _READY,
        short_names=("llmisvc",),
    ),
    _custom(f"{_KSERVE}/v1alpha1", "ServingRuntime", "servingruntimes", status=False),
)  # fmt: skip


class Catalogue:
    """The resources of one API server, by where they are served and by kind."""

    def __init__(self, resources: Collection[Resource] = DEFAULT) -> None:
        self._by_path = {(each.group, each.version, each.plural): each for each in resources}
        self._by_kind = {(each.group_version, each.kind): each for each in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource served at a path, or None."""
        return self._by_path.get((group, version, plural))

    def is_builtin(self, group: str, version: str) -> bool:
        """Whether a real cluster serves a version of a group by itself, without CustomResourceDefinitions."""
        return any(each.group == group and each.version == version and not each.custom for each in self)

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """Return the resource that holds objects of a kind.

        Raises:
            LookupError: The kind is not served.
        """
        try:
            return self._by_kind[api_version, kind]
        except KeyError:
            raise LookupError(f"{kind} of {api_version} is not served") from None

    def groups(self) -> dict[str, list[str]]:
        """Return the versions of every group but the core one, the preferred version first."""
        groups: dict[str, list[str]] = {}
        for each in self:
            if each.group and each.version not in groups.setdefault(each.group, []):
                groups[each.group].append(each.version)
        return groups

    def without(self, *groups: str) -> Catalogue:
        """Return a catalogue that lacks some API groups, as a cluster without those CRDs does."""
        return Catalogue([each for each in self if each.group not in groups])
