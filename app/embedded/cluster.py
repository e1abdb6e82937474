"""The embedded cluster: the Kubernetes API double with what the platform needs in it, over TLS.

It holds the very objects of `manifests/base`, so the service runs with the ServiceAccount, the rules and the
mapping that are shipped. What is in it is gone when it stops.
"""

from __future__ import annotations

import datetime as dt
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from app.embedded.gateway.certificates import ensure_certificates
from app.embedded.kubeconfig import write_kubeconfig
from app.embedded.kubernetes import Cluster, User, create_app
from app.embedded.people import ADMIN_TOKEN, PEOPLE
from app.serving import Listener, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from app.embedded.kubernetes.resources import Catalogue
# Beside the package in a checkout and in the container image.
MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
SAMPLE = Path(__file__).with_name("sample.yaml")

# In the order in which they need each other.
_BASE = ("namespace.yaml", "service-account.yaml", "rbac.yaml", "tier-to-group-mapping.yaml")
_SERVICE_ACCOUNT = "maas-api"
_YEAR = 365 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """A running embedded cluster.

    Attributes:
        state: the cluster itself.
        server: its address.
        ca_file: the CA certificate of its address.
        kubeconfig: for people, as cluster admin.
        service_kubeconfig: for the service, with the rules that are shipped and no more.
    """

    state: Cluster
    server: str
    ca_file: Path
    kubeconfig: Path
    service_kubeconfig: Path


def seeded(namespace: str, catalogue: Catalogue | None = None) -> Cluster:
    """A cluster that holds `manifests/base` and the sample models, and knows the sample people."""
    users = {person.token: User(person.username, person.groups) for person in PEOPLE}
    cluster = Cluster(issuer="https://kubernetes.default.svc", users=users, catalogue=catalogue)
    for path in (*(MANIFESTS / "base" / name for name in _BASE), SAMPLE):
        for manifest in _documents(path):
            cluster.apply(_moved(manifest, namespace))
    return cluster


@asynccontextmanager
async def embedded_cluster(
    state_dir: Path,
    listener: Listener,
    *,
    namespace: str,
    advertise: str,
    catalogue: Catalogue | None = None,
) -> AsyncIterator[EmbeddedCluster]:
    """Serve a seeded cluster on `listener` for as long as the context lasts.

    Args:
        state_dir: where the kubeconfigs and certificates go.
        listener: where it listens.
        namespace: the platform's namespace.
        advertise: the host name that the kubeconfigs give.
        catalogue: what it serves; None for what the platform needs.
    """
    certificates = ensure_certificates(
        state_dir / "cluster-certificates", lambda: dt.datetime.now(dt.UTC), names=(advertise,)
    )
    _write_gateway_certificate(state_dir)
    cluster = seeded(namespace, catalogue)
    server = f"https://{advertise}:{listener.port}"
    account = cluster.storage.get(
        cluster.catalogue.of_kind("v1", "ServiceAccount"), namespace, _SERVICE_ACCOUNT
    )
    assert account is not None  # noqa: S101  # manifests/base has it
    token = cluster.signer.sign(account, [cluster.signer.issuer], int(cluster.clock()), _YEAR)

    def kubeconfig(name: str, user: str, token: str) -> Path:
        return write_kubeconfig(
            state_dir / name, server=server, ca_file=certificates.ca, user=user, token=token
        )

    running = EmbeddedCluster(
        state=cluster,
        server=server,
        ca_file=certificates.ca,
        kubeconfig=kubeconfig("kubeconfig", "admin", ADMIN_TOKEN),
        service_kubeconfig=kubeconfig("maas-api.kubeconfig", _SERVICE_ACCOUNT, token),
    )
    pair = (certificates.chain, certificates.key)
    async with serving((create_app(cluster), listener), shutdown_seconds=1, certificate=pair):
        try:
            yield running
        finally:
            cluster.close()  # Watches end now, so that the server need not wait for them.


def _write_gateway_certificate(state_dir: Path) -> None:
    """A server certificate for a gateway that runs apart from this process, as in docker compose."""
    made = ensure_certificates(
        state_dir / "gateway-certificates", lambda: dt.datetime.now(dt.UTC), names=("envoy",)
    )
    for source, name in ((made.chain, "gateway.pem"), (made.key, "gateway.key")):
        target = state_dir / name
        target.unlink(missing_ok=True)
        shutil.copy(source, target)


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    for document in yaml.safe_load_all(path.read_text()):
        if document:
            yield document


def _moved(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The manifest in the platform's namespace, which the kustomization names for `maas`."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "Namespace" and metadata["name"] == "maas":
        metadata["name"] = namespace
    if manifest["kind"] in ("ServiceAccount", "ConfigMap", "Role", "RoleBinding"):
        metadata.setdefault("namespace", namespace)
        if metadata["namespace"] == "maas":
            metadata["namespace"] = namespace
    for subject in manifest.get("subjects") or ():
        if subject.get("kind") == "ServiceAccount":
            subject["namespace"] = namespace
    return manifest
