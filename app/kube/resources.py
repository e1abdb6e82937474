"""The Kubernetes resources the service speaks of, and their paths.

Paths follow the API conventions ("API groups" and "Resource URIs" in the Kubernetes API reference).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

# Nearly every name: what quoting leaves as it is, which is found out faster so.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type: its group and version (``v1`` for the core group) and its plural name."""

    api_version: str
    plural: str
    _root: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        root = "/apis/" if self.group else "/api/"
        object.__setattr__(self, "_root", f"{root}{self.api_version}")

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of the collection, of one object or of its subresource; every part is quoted."""
        where = self._root if namespace is None else f"{self._root}/namespaces/{_quoted(namespace)}"
        path = f"{where}/{self.plural}"
        if name is not None:
            path = f"{path}/{_quoted(name)}"
        return path if subresource is None else f"{path}/{_quoted(subresource)}"


@lru_cache(256)  # Namespaces and subresources; names come and go.
def _quoted(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else quote(part, safe="")


SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts")
CONFIG_MAPS = Resource("v1", "configmaps")
EVENTS = Resource("v1", "events")
LEASES = Resource("coordination.k8s.io/v1", "leases")
TOKEN_REVIEWS = Resource("authentication.k8s.io/v1", "tokenreviews")
GROUPS = Resource("user.openshift.io/v1", "groups")
SUBJECT_ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "subjectaccessreviews")
SELF_SUBJECT_ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews")
INFERENCE_SERVICES = Resource("serving.kserve.io/v1beta1", "inferenceservices")
LLM_INFERENCE_SERVICES = Resource("serving.kserve.io/v1alpha1", "llminferenceservices")
RATE_LIMIT_POLICIES = Resource("kuadrant.io/v1", "ratelimitpolicies")
TOKEN_RATE_LIMIT_POLICIES = Resource("kuadrant.io/v1alpha1", "tokenratelimitpolicies")
BACKEND_TRAFFIC_POLICIES = Resource("gateway.envoyproxy.io/v1alpha1", "backendtrafficpolicies")
