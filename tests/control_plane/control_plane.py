"""A real control plane for tests: etcd and kube-apiserver on loopback, and nothing else.

There are no controllers: namespaces never finish terminating, owner references delete nothing, no
ServiceAccount `default` appears, and the aggregated ClusterRoles `view`, `edit` and `admin` stay empty.
There are no nodes either, so no pod ever runs.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import ssl
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from app.embedded.kubernetes import User
from tests.control_plane.apiserver import APIServer
from tests.control_plane.authentication_webhook import AuthenticationWebhook
from tests.control_plane.certificates import issue_certificates
from tests.control_plane.etcd import Etcd
from tests.control_plane.kubeconfig import certificate_credentials, token_credentials, write_kubeconfig
from tests.control_plane.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.control_plane.binaries import Binaries

_TIMEOUT_SECONDS = 30


class ControlPlane:
    """A cluster of its own on free ports, with its files in a temporary directory.

    Args:
        binaries: What it consists of (`find_binaries()`).
        users: Bearer tokens and who they stand for; the API server adds the group `system:authenticated`.
        watch_cache: Whether watches and lists come from the API server's memory, as they do by default.
        flags: Further flags of kube-apiserver, such as `--service-account-max-token-expiration=1h`.

    Attributes:
        url: Where the API server listens; the same after every `resume`.
        etcd_url: Where its store listens.
        ca_file: The CA that signed its certificate.
        admin_kubeconfig: For an administrator who shows a client certificate.
        admin_token: A bearer token of an administrator.
        client: Calls the API server as that administrator.
    """

    url: str
    etcd_url: str
    ca_file: Path
    admin_kubeconfig: Path
    client: httpx.AsyncClient

    def __init__(
        self,
        binaries: Binaries,
        *,
        users: Mapping[str, User] | None = None,
        watch_cache: bool = True,
        flags: Sequence[str] = (),
    ) -> None:
        self._binaries = binaries
        self.admin_token = f"sha256~{secrets.token_urlsafe(32)}"
        self._users = {**(users or {}), self.admin_token: User("admin", ("system:masters",))}
        self._watch_cache = watch_cache
        self._flags = flags
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and wait until it is ready, which takes a few seconds.

        Raises:
            ControlPlaneError: Something did not start; the message has the end of its log.
        """
        try:
            await self._start(self._open)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything and remove its files; nothing is done if it does not run."""
        await self._open.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        directory = Path(tempfile.mkdtemp(prefix="control-plane-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        certificates = await asyncio.to_thread(issue_certificates, directory)

        self._webhook = AuthenticationWebhook(certificates.server, self._users)
        self._webhook.start()
        stack.push_async_callback(asyncio.to_thread, self._webhook.stop)

        self._etcd = Etcd(self._binaries.etcd, directory)
        stack.push_async_callback(self._etcd.stop)
        await self._etcd.start()

        self._apiserver = APIServer(
            self._binaries.kube_apiserver,
            directory,
            certificates=certificates,
            etcd=self._etcd.url,
            authentication_webhook=self._webhook.url,
            watch_cache=self._watch_cache,
            flags=self._flags,
        )
        stack.callback(self._apiserver.release)
        stack.push_async_callback(self._apiserver.stop)

        context = ssl.create_default_context(cafile=str(certificates.ca))
        context.load_cert_chain(certificates.admin.chain, certificates.admin.key)
        self.client = httpx.AsyncClient(
            base_url=self._apiserver.url, verify=context, trust_env=False, timeout=_TIMEOUT_SECONDS
        )
        stack.push_async_callback(self.client.aclose)
        await self._apiserver.start(self.client)

        self.url = self._apiserver.url
        self.etcd_url = self._etcd.url
        self.ca_file = certificates.ca
        self._directory = directory
        self._objects = Objects(self.client)
        self.admin_kubeconfig = self._write_kubeconfig("admin", certificate_credentials(certificates.admin))

    def kubeconfig(self, name: str, *, token: str | None = None) -> Path:
        """A kubeconfig file for the holder of a token, or for an anonymous user without one."""
        return self._write_kubeconfig(name, token_credentials(token) if token else {})

    def add_user(self, token: str, user: User) -> None:
        """Let a bearer token stand for a user from now on."""
        self._webhook.add_user(token, user)

    def remove_user(self, token: str) -> None:
        """Let a bearer token stand for nobody; one that was used is good for up to 10 s more.

        That is how long every API server caches what it found out about a token, and no flag changes it.
        """
        self._webhook.remove_user(token)

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object what the manifest says, its `status` included, and return what is stored.

        Raises:
            LookupError: The kind is not served.
            ControlPlaneError: The API server refused it; the message has its reason.
        """
        return await self._objects.apply(manifest)

    async def delete(self, manifest: Mapping[str, Any]) -> None:
        """Take the object of a manifest away, if there is one.

        Raises:
            LookupError: The kind is not served.
            ControlPlaneError: The API server refused it; the message has its reason.
        """
        await self._objects.delete(manifest)

    async def install_crds(self, paths: Iterable[Path]) -> None:
        """Install the CustomResourceDefinitions in files or directories, and wait until they are served."""
        await self._objects.install_crds(paths)

    async def service_account_token(
        self, namespace: str, name: str, *, audiences: Sequence[str] = (), seconds: int = 3600
    ) -> str:
        """A JWT of a ServiceAccount, by TokenRequest; for the API server itself if no audience is named."""
        answer = await self.client.post(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            json={"spec": {"audiences": list(audiences), "expirationSeconds": seconds}},
        )
        token: str = answer.raise_for_status().json()["status"]["token"]
        return token

    async def pause(self) -> None:
        """Take the API server away: connections are reset, new ones refused."""
        await self._apiserver.stop()

    async def resume(self) -> None:
        """Bring the API server back after `pause`, on the same port and with the same data."""
        await self._apiserver.start(self.client)

    def freeze(self) -> None:
        """Let the API server fall silent: connections stay open and are accepted, nothing is answered."""
        self._apiserver.freeze()

    def thaw(self) -> None:
        """Let the API server go on after `freeze`."""
        self._apiserver.thaw()

    async def compact(self) -> None:
        """Forget the past: lists and watches from any resource version seen so far are answered 410.

        Lists get it as the HTTP status, watches as an event in a stream that began with 200. With the watch
        cache, the API server remembers the past by itself until it is restarted (`pause`, `resume`).
        """
        await self._etcd.compact()

    def _write_kubeconfig(self, name: str, credentials: dict[str, Any]) -> Path:
        return write_kubeconfig(
            self._directory / f"{name}.kubeconfig", server=self.url, ca=self.ca_file, user=credentials
        )
