from __future__ import annotations

from typing import TYPE_CHECKING

from tests.control_plane.kubeconfig import write_kubeconfig
from tests.control_plane.ports import ReservedPort
from tests.control_plane.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import httpx

    from tests.control_plane.certificates import Certificates

ISSUER = "https://kubernetes.default.svc"
# Benchmarks leave it with a hundred thousand objects to read.
_START_SECONDS = 240


class APIServer:
    """A kube-apiserver that keeps its port through every stop."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        *,
        certificates: Certificates,
        etcd: str,
        authentication_webhook: str,
        watch_cache: bool,
        flags: Sequence[str],
    ) -> None:
        self._port = ReservedPort()
        self.url = f"https://127.0.0.1:{self._port.number}"
        webhook = write_kubeconfig(
            directory / "authentication-webhook.kubeconfig",
            server=authentication_webhook,
            ca=certificates.ca,
            user={},
        )
        self._process = Process(
            program,
            [
                f"--etcd-servers={etcd}",
                # Nothing is forgotten unless a test asks for it.
                "--etcd-compaction-interval=0",
                f"--watch-cache={str(watch_cache).lower()}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self._port.number}",
                "--permit-port-sharing",
                f"--tls-cert-file={certificates.server.chain}",
                f"--tls-private-key-file={certificates.server.key}",
                f"--cert-dir={directory}",
                f"--client-ca-file={certificates.ca}",
                f"--authentication-token-webhook-config-file={webhook}",
                "--authentication-token-webhook-version=v1",
                "--authentication-token-webhook-cache-ttl=0s",
                "--authorization-mode=RBAC",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-jwks-uri={self.url}/openid/v1/jwks",
                f"--service-account-key-file={certificates.service_account_key}",
                f"--service-account-signing-key-file={certificates.service_account_key}",
                # It wants a ServiceAccount `default` for every pod, and no controller is here to make it.
                "--disable-admission-plugins=ServiceAccount",
                "--allow-privileged",
                "--service-cluster-ip-range=10.0.0.0/24",
                # Endpoints refuse loopback addresses.
                "--endpoint-reconciler-type=none",
                "--profiling=false",
                *flags,
            ],
            log=directory / "kube-apiserver.log",
        )

    async def start(self, client: httpx.AsyncClient) -> None:
        """Start it, and wait until `client` finds it ready, with the default roles in place."""
        await self._process.start(client, "/readyz", within_seconds=_START_SECONDS)

    async def stop(self) -> None:
        """End it at once, as a crash does; connections are reset, the port stays reserved."""
        await self._process.kill()

    def freeze(self) -> None:
        self._process.freeze()

    def thaw(self) -> None:
        self._process.thaw()

    def release(self) -> None:
        """Give the port back; it cannot be started again."""
        self._port.release()
