from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import jwt
import pytest
import trustme

from app.embedded.kubeconfig import write_kubeconfig
from app.embedded.kubernetes import Cluster, User, create_app
from app.serving import bind, serving
from tests.kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: maas}}
data: {mode: "%s", other: kept}
"""
MODEL = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: qwen3}
spec: {predictor: {model: {args: ["%s"]}}}
"""


@pytest.fixture
async def cluster(signing_key: RSAPrivateKey) -> Cluster:
    """Unlike the others' it lives in the present, as kubectl does."""
    users = {
        "admin": User("admin", ("system:masters",)),
        "alice": User("alice@example.com", ("premium-users",)),
    }
    cluster = Cluster(issuer="https://cluster.test", users=users, signing_key=signing_key)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maas"}})
    for name, tier in (("alice-sa-1", "premium"), ("bob-sa-2", "free")):
        metadata = {"name": name, "namespace": "maas", "labels": {"tier": tier}}
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    return cluster


@pytest.fixture
async def server(cluster: Cluster, tmp_path: Path) -> AsyncIterator[str]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair = tmp_path / "server.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pair)
    listener = bind("cluster", "127.0.0.1", 0)
    async with serving((create_app(cluster), listener), shutdown_seconds=5, certificate=(pair, pair)):
        yield f"https://127.0.0.1:{listener.port}"
        cluster.close()


def kubectl_of(user: str, server: str, home: Path) -> Kubectl:
    path, ca_file = home / f"{user}.kubeconfig", home / "ca.pem"
    return Kubectl(write_kubeconfig(path, server=server, ca_file=ca_file, user=user, token=user), home)


@pytest.fixture
def kubectl(server: str, tmp_path: Path) -> Kubectl:
    return kubectl_of("admin", server, tmp_path)


@pytest.fixture
def as_alice(server: str, tmp_path: Path) -> Kubectl:
    return kubectl_of("alice", server, tmp_path)


async def test_kubectl_gets_service_accounts_with_their_tier(kubectl: Kubectl) -> None:
    lines = (await kubectl.ok("get", "sa", "-n", "maas", "-L", "tier")).splitlines()
    assert lines[0].split() == ["NAME", "SECRETS", "AGE", "TIER"]
    assert [line.split()[0] for line in lines[1:]] == ["alice-sa-1", "bob-sa-2"]
    assert [line.split()[-1] for line in lines[1:]] == ["premium", "free"]
    assert await kubectl.ok("get", "sa", "-l", "tier in (free)", "-o", "name") == "serviceaccount/bob-sa-2"
    assert (await kubectl.ok("get", "sa", "--chunk-size=1", "-o", "name")).count("serviceaccount/") == 2


async def test_kubectl_describes_and_explains(kubectl: Kubectl) -> None:
    described = await kubectl.ok("describe", "serviceaccount", "alice-sa-1")
    assert "tier=premium" in described
    assert "Events:" in described
    assert "KIND:       ConfigMap" in await kubectl.ok("explain", "configmap")
    assert "inferenceservices" in await kubectl.ok("api-resources", "--api-group=serving.kserve.io")
    assert "Server Version: v1.36" in await kubectl.ok("version")


async def test_kubectl_creates_patches_labels_and_deletes(kubectl: Kubectl, cluster: Cluster) -> None:
    await kubectl.ok("create", "configmap", "settings", "--from-literal=mode=a")
    await kubectl.ok("patch", "configmap", "settings", "-p", '{"data": {"more": "b"}}')
    await kubectl.ok(
        "patch", "cm", "settings", "--type=json", "-p", '[{"op": "remove", "path": "/data/mode"}]'
    )
    await kubectl.ok("label", "cm", "settings", "app=maas")
    await kubectl.ok("annotate", "cm", "settings", "note=hello")
    found = json.loads(await kubectl.ok("get", "cm", "settings", "-o", "json"))
    assert found["data"] == {"more": "b"}
    assert found["metadata"]["labels"] == {"app": "maas"}
    assert found["metadata"]["annotations"] == {"note": "hello"}
    assert await kubectl.ok("delete", "cm", "settings") == 'configmap "settings" deleted from maas namespace'
    code, output = await kubectl("get", "cm", "settings")
    assert (code, output) == (1, 'Error from server (NotFound): configmaps "settings" not found')
    code, output = await kubectl("create", "sa", "alice-sa-1")
    assert 'serviceaccounts "alice-sa-1" already exists' in output
    await kubectl.ok("create", "namespace", "apps")
    await kubectl.ok("delete", "namespace", "apps", "--timeout=10s")
    assert cluster.storage.get(cluster.catalogue.of_kind("v1", "Namespace"), "", "apps") is None


@pytest.mark.parametrize(("manifest", "kind"), [(CONFIG_MAP, "configmap"), (MODEL, "inferenceservice")])
async def test_kubectl_applies(kubectl: Kubectl, manifest: str, kind: str) -> None:
    apply = ("apply", "-f", "-")
    assert (await kubectl.ok(*apply, stdin=manifest % "a")).endswith(" created")
    assert (await kubectl.ok(*apply, stdin=manifest % "a")).endswith(" unchanged")
    code, output = await kubectl("diff", "-f", "-", stdin=manifest % "b")
    assert code == 1
    assert "+" in output
    assert (await kubectl.ok(*apply, "--dry-run=server", stdin=manifest % "b")).endswith("(server dry run)")
    assert (await kubectl.ok(*apply, stdin=manifest % "b")).endswith(" configured")
    assert '"b"' in await kubectl.ok("get", kind, "-o", "json")


@pytest.mark.parametrize("manifest", [CONFIG_MAP, MODEL])
async def test_kubectl_applies_server_side(kubectl: Kubectl, manifest: str) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    for _ in range(2):
        assert (await kubectl.ok(*apply, stdin=manifest % "a")).endswith("serverside-applied")
    code, output = await kubectl(*apply, "--field-manager=other", stdin=manifest % "b")
    assert code == 1
    assert 'conflict with "kubectl"' in output
    await kubectl.ok(*apply, "--field-manager=other", "--force-conflicts", stdin=manifest % "b")


async def test_kubectl_edits(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=CONFIG_MAP % "before")
    await kubectl.ok("apply", "-f", "-", stdin=MODEL % "before")
    for what in ("configmap/settings", "inferenceservice/qwen3"):
        assert (await kubectl.ok("edit", what, editor="sed -i s/before/after/")).endswith(" edited")
        assert "after" in await kubectl.ok("get", what, "-o", "yaml")


async def test_kubectl_creates_tokens(kubectl: Kubectl, cluster: Cluster) -> None:
    token = await kubectl.ok("create", "token", "alice-sa-1", "--audience=maas", "--duration=20m")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == ["maas"]
    assert claims["exp"] - claims["iat"] == 1200
    assert cluster.authenticator.authenticate(token, ["maas"]).user.username.endswith(":alice-sa-1")
    code, output = await kubectl("create", "token", "alice-sa-1", "--duration=60s")
    assert code == 1
    assert "may not specify a duration less than 10 minutes" in output


async def test_kubectl_asks_who_may_do_what(kubectl: Kubectl, as_alice: Kubectl) -> None:
    assert "system:masters" in await kubectl.ok("auth", "whoami")
    assert await kubectl.ok("auth", "can-i", "list", "sa") == "yes"
    assert await kubectl("auth", "can-i", "list", "sa", "--as=alice@example.com") == (1, "no")
    await kubectl.ok("create", "rolebinding", "tier", "--clusterrole=view", "--group=maas:tier:premium")
    grouped = ("--as=alice@example.com", "--as-group=maas:tier:premium")
    assert await kubectl.ok("auth", "can-i", "list", "sa", *grouped) == "yes"
    assert "selfsubjectreviews" in await as_alice.ok("auth", "can-i", "--list")
    code, output = await as_alice("get", "sa")
    assert code == 1
    assert output.startswith("Error from server (Forbidden): serviceaccounts is forbidden")


async def test_kubectl_waits(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=MODEL % "a")
    waiting = asyncio.create_task(
        kubectl.ok("wait", "--for=condition=Ready", "isvc/qwen3", "--timeout=20s"), name="kubectl wait"
    )
    status = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    await kubectl.ok("patch", "isvc", "qwen3", "--subresource=status", "--type=merge", "-p", status)
    assert (await waiting).endswith("condition met")
    assert "True" in await kubectl.ok("get", "isvc")


async def test_kubectl_watches(kubectl: Kubectl, cluster: Cluster) -> None:
    async with kubectl.running("get", "sa", "-w", "-L", "tier") as output:
        for expected in ("NAME", "alice-sa-1", "bob-sa-2"):
            assert (await output.readline()).decode().split()[0] == expected
        metadata = {"name": "carol-sa-3", "namespace": "maas", "labels": {"tier": "free"}}
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        line = (await output.readline()).decode().split()
        assert (line[0], line[-1]) == ("carol-sa-3", "free")
