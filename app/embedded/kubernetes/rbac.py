"""What RBAC objects allow, as k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac decides it.

There is no aggregation of ClusterRoles, which a controller does, and no check that the author of a role has
the rights that it gives away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from app.embedded.kubernetes.users import MASTERS, User, service_account_username

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.embedded.kubernetes.storage import Object, Storage, Stored


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do: to a resource, or, if `path` is set, to a path that is none."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def with_verb(self, verb: str) -> Attributes:
        """Return the same with another verb."""
        return replace(self, verb=verb)

    def refusal(self, user: User) -> str:
        """Return the sentence that tells a user that they may not."""
        start = f'User "{user.username}" cannot {self.verb}'
        if self.path:
            return f'{start} path "{self.path}"'
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{start} resource "{what}" in API group "{self.group}" {where}'


class Rule:
    """One rule of a role."""

    __slots__ = ("groups", "names", "paths", "resources", "source", "verbs")

    def __init__(self, rule: Object) -> None:
        self.source = rule
        self.verbs = frozenset(rule.get("verbs") or ())
        self.groups = frozenset(rule.get("apiGroups") or ())
        self.resources = frozenset(rule.get("resources") or ())
        self.names = frozenset(rule.get("resourceNames") or ())
        self.paths = tuple(rule.get("nonResourceURLs") or ())

    def allows(self, wanted: Attributes) -> bool:
        """Whether the rule allows something."""
        if not self.verbs & {wanted.verb, "*"}:
            return False
        if wanted.path:
            return any(_covers(path, wanted.path) for path in self.paths)
        names = {wanted.resource, "*"}
        if wanted.subresource:
            names = {f"{wanted.resource}/{wanted.subresource}", f"*/{wanted.subresource}", "*"}
        if not (self.groups & {wanted.group, "*"} and self.resources & names):
            return False
        return not self.names or wanted.name in self.names


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


@dataclass(frozen=True, slots=True)
class _Grant:
    """What one binding gives to one subject; `namespace` is None if it holds everywhere."""

    namespace: str | None
    rules: tuple[Rule, ...]
    reason: str


class RBAC:
    """Answers access questions from the RBAC objects in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._as_of: tuple[int, ...] = ()
        self._grants: dict[tuple[str, str], list[_Grant]] = {}

    def allows(self, user: User, wanted: Attributes) -> tuple[bool, str]:
        """Return whether a user may do something, and by which binding."""
        if MASTERS in user.groups:
            return True, ""
        for grant in self._of(user):
            if grant.namespace in (None, wanted.namespace) and not (grant.namespace and wanted.path):
                for rule in grant.rules:
                    if rule.allows(wanted):
                        return True, grant.reason
        return False, ""

    def rules(self, user: User, namespace: str) -> list[Object]:
        """Return every rule that holds for a user in a namespace, as the roles have them."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [
            rule.source
            for grant in self._of(user)
            if grant.namespace in (None, namespace)
            for rule in grant.rules
        ]

    def _of(self, user: User) -> Iterator[_Grant]:
        self._refresh()
        yield from self._grants.get(("User", user.username), ())
        for group in user.groups:
            yield from self._grants.get(("Group", group), ())

    def _refresh(self) -> None:
        kinds = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)
        as_of = tuple(self._storage.latest(each) for each in kinds)
        if as_of == self._as_of:
            return
        self._as_of, self._grants = as_of, {}
        for binding in self._storage.list(CLUSTER_ROLE_BINDINGS):
            self._add(binding, None, f'RBAC: allowed by ClusterRoleBinding "{binding.name}"')
        for binding in self._storage.list(ROLE_BINDINGS):
            reason = f'RBAC: allowed by RoleBinding "{binding.name}/{binding.namespace}"'
            self._add(binding, binding.namespace, reason)

    def _add(self, binding: Stored, namespace: str | None, reason: str) -> None:
        ref: dict[str, Any] = binding.object["roleRef"]
        kind, holder = (ROLES, binding.namespace) if ref.get("kind") == "Role" else (CLUSTER_ROLES, "")
        role = self._storage.get(kind, holder, ref["name"])
        if role is None:
            return
        rules = tuple(Rule(each) for each in role.object.get("rules") or ())
        for subject in binding.object.get("subjects") or ():
            key, shown = _subject(subject, binding.namespace)
            text = f'{reason} of {kind.kind} "{role.name}" to {subject.get("kind")} "{shown}"'
            self._grants.setdefault(key, []).append(_Grant(namespace, rules, text))


def _subject(subject: Object, namespace: str) -> tuple[tuple[str, str], str]:
    """Return under which kind and name a subject's grants are kept, and how it is shown."""
    name = subject.get("name", "")
    if subject.get("kind") != "ServiceAccount":
        return (subject.get("kind", ""), name), name
    home = subject.get("namespace") or namespace
    return ("User", service_account_username(home, name)), f"{name}/{home}"
