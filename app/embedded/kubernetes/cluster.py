"""The state of the cluster: objects, users, the signing key, and the switches for tests."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes import bootstrap
from app.embedded.kubernetes.authentication import Authenticator
from app.embedded.kubernetes.faults import Faults
from app.embedded.kubernetes.objects import Objects, Write
from app.embedded.kubernetes.rbac import RBAC
from app.embedded.kubernetes.resources import Catalogue
from app.embedded.kubernetes.storage import Storage
from app.embedded.kubernetes.tokens import Signer, generate_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from app.embedded.kubernetes.users import User

_SEED = Write(manager="seed")


class Cluster:
    """Everything that the API server knows. It belongs to one event loop.

    Args:
        issuer: What tokens name as their issuer: the URL of the API server.
        users: Bearer tokens and who they stand for; the group `system:authenticated` is added.
        clock: The time, in seconds since 1970.
        history: How many changes of each resource are kept for watches to resume from.
        api_audience: Whom tokens for the API server itself are meant for; the issuer, if None.
        catalogue: What is served; `Catalogue().without(group)` is a cluster that lacks some CRDs.
        signing_key: What signs ServiceAccount tokens; a new key if None.
        max_token_seconds: To how many seconds longer token requests are shortened; None: they are not.
        bookmark_seconds: How often watches that ask for bookmarks get one.
    """

    def __init__(
        self,
        *,
        issuer: str,
        users: Mapping[str, User],
        clock: Callable[[], float] = time.time,
        history: int = 10_000,
        api_audience: str | None = None,
        catalogue: Catalogue | None = None,
        signing_key: RSAPrivateKey | None = None,
        max_token_seconds: int | None = None,
        bookmark_seconds: float = 60.0,
    ) -> None:
        self.clock = clock
        self.catalogue = catalogue or Catalogue()
        self.max_token_seconds = max_token_seconds
        self.bookmark_seconds = bookmark_seconds
        self.storage = Storage(history=history)
        self.objects = Objects(self.storage, self.catalogue, clock)
        self.signer = Signer(signing_key or generate_key(), issuer)
        self.authenticator = Authenticator(
            self.storage, self.signer, clock, users=users, api_audience=api_audience or issuer
        )
        self.rbac = RBAC(self.storage)
        self.faults = Faults(self.storage)
        self.closed = False
        for manifest in bootstrap.manifests():
            self.apply(manifest)

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, or replace the one of that name, and return what is stored.

        Nobody is asked for permission. A `status` in the manifest is stored too.

        Raises:
            LookupError: The kind is not served.
            APIError: The object is invalid, or its namespace does not exist.
        """
        obj = copy.deepcopy(dict(manifest))
        resource = self.catalogue.of_kind(obj["apiVersion"], obj["kind"])
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "default") if resource.namespaced else ""
        name, status = metadata.get("name", ""), obj.get("status")
        if self.storage.get(resource, namespace, name) is None:
            stored = self.objects.create(resource, namespace, obj, _SEED)
        else:
            stored = self.objects.update(resource, namespace, name, lambda _: obj, _SEED)
        if resource.status and status is not None:
            write = Write(manager=_SEED.manager, subresource="status")
            stored = self.objects.update(
                resource, namespace, stored.name, lambda current: {**current, "status": status}, write
            )
        return copy.deepcopy(stored.object)

    def add_user(self, token: str, user: User) -> None:
        """Let a bearer token stand for a user from now on."""
        self.authenticator.users[token] = user.authenticated()

    def remove_user(self, token: str) -> None:
        """Let a bearer token stand for nobody from now on."""
        self.authenticator.users.pop(token, None)

    def close(self) -> None:
        """End all watches, and new ones at once, so that the server can shut down."""
        self.closed = True
        self.faults.drop_watches()
