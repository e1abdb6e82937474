"""The clusters that the contract suite runs on, the double and the real one, behind one interface."""

from __future__ import annotations

import datetime as dt
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from app.embedded.gateway.certificates import ensure_certificates
from app.embedded.kubeconfig import write_kubeconfig
from app.embedded.kubernetes import Cluster, User, create_app
from app.embedded.kubernetes.resources import DEFAULT, Catalogue
from app.embedded.kubernetes.resources import Resource as Served
from app.kube.connect import connect
from app.serving import Listener, bind, serving
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from app.kube.client import KubeClient
    from tests.control_plane import ControlPlane

ADMIN_TOKEN = "sha256~cluster-admin"
# The platform of `maasctl up` has no policies; a cluster with a gateway's operator has.
LIMITS = [
    Served(group, version, kind, plural, custom=True, subresources=("status",), blind_put=False)
    for group, version, kind, plural in (
        ("kuadrant.io", "v1", "RateLimitPolicy", "ratelimitpolicies"),
        ("kuadrant.io", "v1alpha1", "TokenRateLimitPolicy", "tokenratelimitpolicies"),
        ("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies"),
    )
]


class TestCluster(Protocol):
    """A cluster that a test may change and disturb."""

    admin: KubeClient

    async def add_user(
        self, token: str, username: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]
    ) -> None: ...

    async def remove_user(self, token: str) -> None: ...

    def kubeconfig(self, token: str) -> Path: ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def fall_silent(self) -> None:
        """Accept connections and answer nothing, until `speak`."""

    async def speak(self) -> None: ...

    async def forget_history(self) -> None:
        """Drop every watch and make the API server answer 410 to all resourceVersions up to now."""


async def admin_client(kubeconfig: Path) -> KubeClient:
    return await connect(
        str(kubeconfig),
        timeout_seconds=5,
        connections=20,
        observe=lambda *_: None,
        random=random.Random(1),  # noqa: S311  # spreads retries
    )


class DoubleCluster:
    """The Kubernetes API double, over TLS on a free port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._certificates = ensure_certificates(directory / "tls", lambda: dt.datetime.now(dt.UTC))
        self.state = Cluster(
            issuer="https://kubernetes.default.svc",
            users={ADMIN_TOKEN: User("admin", ("system:masters",))},
            catalogue=Catalogue([*DEFAULT, *LIMITS]),
        )
        self._listener: Listener
        self._server: AbstractAsyncContextManager[None]
        self.admin: KubeClient

    async def start(self) -> None:
        # Not port 0: while it is paused, an outgoing connection could take such a port.
        self._listener = bind("cluster", "127.0.0.1", free_port())
        await self._serve()
        self.admin = await admin_client(self.kubeconfig(ADMIN_TOKEN))

    async def stop(self) -> None:
        await self.admin.close()
        await self.pause()

    async def _serve(self) -> None:
        pair = (self._certificates.chain, self._certificates.key)
        self._server = serving(
            (create_app(self.state), self._listener), shutdown_seconds=0.1, certificate=pair
        )
        await self._server.__aenter__()

    async def add_user(
        self, token: str, username: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]
    ) -> None:
        values: dict[str, Any] = {key: tuple(value) for key, value in extra.items()}
        self.state.add_user(token, User(username, tuple(groups), extra=values))

    async def remove_user(self, token: str) -> None:
        self.state.remove_user(token)

    def kubeconfig(self, token: str) -> Path:
        path = self._directory / f"kubeconfig-{abs(hash(token))}"
        server = f"https://localhost:{self._listener.port}"
        return write_kubeconfig(
            path, server=server, ca_file=self._certificates.ca, user="someone", token=token
        )

    async def pause(self) -> None:
        self.state.close()
        await self._server.__aexit__(None, None, None)

    async def resume(self) -> None:
        if not self.state.closed:
            return
        self.state.closed = False
        self._listener = bind("cluster", "127.0.0.1", self._listener.port)
        await self._serve()

    async def fall_silent(self) -> None:
        self.state.faults.freeze_watches()
        self.state.faults.delay = 5

    async def speak(self) -> None:
        self.state.faults.clear()

    async def forget_history(self) -> None:
        # Something happens that no watch is told of, and then it is forgotten.
        self.state.faults.freeze_watches()
        metadata = {"name": "bump", "labels": {"at": str(time.monotonic_ns())}}
        self.state.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.state.faults.compact()
        self.state.faults.drop_watches()
        self.state.faults.thaw_watches()


class RealCluster:
    """A real kube-apiserver with a real etcd."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._away = False
        self.admin: KubeClient

    async def start(self) -> None:
        self.admin = await admin_client(self._control_plane.admin_kubeconfig)

    async def stop(self) -> None:
        await self.admin.close()

    async def add_user(
        self, token: str, username: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]
    ) -> None:
        values: dict[str, Any] = {key: tuple(value) for key, value in extra.items()}
        self._control_plane.add_user(token, User(username, tuple(groups), extra=values))

    async def remove_user(self, token: str) -> None:
        self._control_plane.remove_user(token)

    def kubeconfig(self, token: str) -> Path:
        return self._control_plane.kubeconfig(f"user-{abs(hash(token))}", token=token)

    async def pause(self) -> None:
        self._away = True
        await self._control_plane.pause()

    async def resume(self) -> None:
        if self._away:
            self._away = False
            await self._control_plane.resume()

    async def fall_silent(self) -> None:
        self._control_plane.freeze()

    async def speak(self) -> None:
        self._control_plane.thaw()

    async def forget_history(self) -> None:
        # With the watch cache on, a compaction shows only after a restart.
        await self._control_plane.pause()
        await self._control_plane.compact()
        await self._control_plane.resume()
