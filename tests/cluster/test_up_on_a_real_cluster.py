"""`maasctl up --kubeconfig` and `maasctl serve` as processes, on a real API server."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.kubectl import Kubectl
from tests.maasctl import chat, environment, maasctl, up
from tests.workspace import FREE, PREMIUM, Caller, Workspace, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.clusters import RealCluster
    from tests.control_plane import ControlPlane
    from tests.maasctl import Maasctl, Up

pytestmark = pytest.mark.cluster

# What the issue promises for a change to be in force.
PROMISED_SECONDS = 1


@pytest.fixture
async def workspace(real_cluster: RealCluster) -> AsyncIterator[Workspace]:
    """A namespace with what `manifests/base` puts there."""
    made = Workspace(real_cluster)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def local(workspace: Workspace, tmp_path: Path) -> AsyncIterator[Up]:
    """The local gateway and simulator in front of the real cluster."""
    kubeconfig = await workspace.service_kubeconfig()
    env = environment(MAAS_NAMESPACE=workspace.namespace)
    async with up(tmp_path / "state", f"--kubeconfig={kubeconfig}", env=env) as running:
        yield running


@pytest.fixture
def kubectl(control_plane: ControlPlane, tmp_path: Path) -> Kubectl:
    return Kubectl(control_plane.admin_kubeconfig, tmp_path)


async def test_a_cluster_without_a_mapping_is_told_what_to_apply(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    options = ("--port=0", f"--state-dir={tmp_path}", f"--kubeconfig={control_plane.admin_kubeconfig}")
    env = environment(MAAS_NAMESPACE="maas-of-nobody")
    async with maasctl("up", *options, env=env) as running:
        assert await running.ended(seconds=30) == 1
    assert "ConfigMap tier-to-group-mapping in namespace maas-of-nobody" in running.errors
    assert "kubectl apply -k manifests/overlays/kubernetes" in running.errors
    assert "Traceback" not in running.errors


async def test_a_token_opens_a_model_until_it_is_revoked(local: Up, workspace: Workspace) -> None:
    alice = local.person(await workspace.person("alice@example.com"))
    model = await workspace.model("qwen3", FREE)
    issued = await alice.issued(name="laptop")
    assert (issued["tier"], issued["name"]) == ("free", "laptop")
    holder = local.person(issued["token"])

    async def answered() -> bool:
        return (await chat(holder, model)).status_code == 200

    await eventually(answered)
    assert model in [entry["id"] for entry in (await holder.get("/v1/models")).json()["data"]]
    assert [token["id"] for token in await alice.listed()] == [issued["id"]]

    assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204

    assert (await chat(holder, model)).status_code == 401


async def test_kubectl_changes_limits_and_tiers_while_everything_runs(
    local: Up, workspace: Workspace, kubectl: Kubectl
) -> None:
    alice = local.person(await workspace.person("alice", "data-science"))
    open_model = await workspace.model("open", FREE, PREMIUM)
    closed_model = await workspace.model("closed", PREMIUM)
    holder = local.person((await alice.issued())["token"])

    async def forbidden() -> bool:
        return (await chat(holder, closed_model)).status_code == 403

    await eventually(forbidden)
    while (await chat(holder, open_model)).status_code != 429:
        pass

    tiers: dict[str, Any] = {
        "free": {"groups": ["system:authenticated"], "rateLimit": {"requestsPerMinute": 10}},
        "premium": {"groups": ["data-science"], "rateLimit": {"requestsPerMinute": 77}},
    }
    patch = json.dumps({"data": {"mapping.yaml": json.dumps({"tiers": tiers})}})
    name = ("configmap", "tier-to-group-mapping", "-n", workspace.namespace)
    await kubectl.ok("patch", *name, "--type=merge", "-p", patch)

    async def promoted() -> bool:
        response = await chat(holder, closed_model)
        return response.status_code == 200 and response.headers["x-ratelimit-limit"] == "77"

    await eventually(promoted, seconds=PROMISED_SECONDS)
    assert (await alice.get("/maas-api/tier")).json()["tier"] == "premium"


async def test_kubectl_shows_and_revokes_tokens(local: Up, workspace: Workspace, kubectl: Kubectl) -> None:
    bob = local.person(await workspace.person("bob", "premium-users"))
    issued = await bob.issued()
    holder = local.person(issued["token"])
    assert (await holder.get("/v1/models")).status_code == 200

    shown = await kubectl.ok(
        "get", "sa", issued["id"], "-n", workspace.namespace, "-L", "tier", "--no-headers"
    )
    assert shown.split()[-1] == "premium"
    await kubectl.ok("delete", "sa", issued["id"], "-n", workspace.namespace)

    async def refused() -> bool:
        return (await holder.get("/v1/models")).status_code == 401

    await eventually(refused, seconds=PROMISED_SECONDS)


async def test_it_says_which_cluster_it_uses_and_ends_in_good_order(
    local: Up, workspace: Workspace, control_plane: ControlPlane
) -> None:
    assert "The cluster is the one of " in local.maasctl.output
    assert "sha256~alice" not in local.maasctl.output
    assert await local.maasctl.stop() == 0
    assert not local.maasctl.errors


async def served(service: Maasctl) -> tuple[str, str]:
    """Where the public app and the gateway app are."""
    ports = await service.says(r"serving: public app on port (\d+), gateway app on port (\d+)")
    return f"http://127.0.0.1:{ports[1]}", f"http://127.0.0.1:{ports[2]}"


async def test_the_service_alone_works_with_the_rights_that_are_shipped(
    workspace: Workspace, tmp_path: Path
) -> None:
    env = environment(
        KUBECONFIG=str(await workspace.service_kubeconfig()),
        MAAS_NAMESPACE=workspace.namespace,
        MAAS_HTTP_HOST="127.0.0.1",
        MAAS_HTTP_PUBLIC_PORT="0",
        MAAS_HTTP_GATEWAY_PORT="0",
    )
    async with maasctl("serve", env=env, cwd=tmp_path) as service:
        public_app, gateway_app = await served(service)
        async with (
            httpx.AsyncClient(base_url=public_app, trust_env=False) as public,
            httpx.AsyncClient(base_url=gateway_app, trust_env=False) as gateway,
        ):

            async def ready() -> bool:
                return (await public.get("/maas-api/readyz")).status_code == 200

            await eventually(ready)
            assert (await gateway.get("/readyz")).json()["status"] == "ok"
            caller_token = await workspace.person("alice")
            alice = Caller(public, caller_token)
            issued = await alice.issued()
            assert [token["id"] for token in await alice.listed()] == [issued["id"]]
            authorization = {"Authorization": f"Bearer {issued['token']}"}
            allowed = await gateway.get("/internal/authorize/v1/models", headers=authorization)
            assert (allowed.status_code, allowed.headers["x-maas-tier"]) == (200, "free")
        assert await service.stop() == 0
    assert service.output == ""
    lines = [json.loads(line) for line in service.errors.splitlines()]
    # After that, the lease is given back.
    assert "stopping after SIGTERM" in [line["message"] for line in lines]
    assert [line for line in lines if line["level"] not in {"INFO", "WARNING"}] == []
    assert [line["tokenId"] for line in lines if line["logger"] == "audit"] == [issued["id"]]
    for secret in (issued["token"], caller_token):
        assert secret not in service.errors


async def test_a_service_that_may_not_read_the_cluster_is_not_ready_and_ends_in_good_order(
    control_plane: ControlPlane, workspace: Workspace, tmp_path: Path
) -> None:
    stranger = control_plane.kubeconfig("stranger", token=await workspace.person("stranger"))
    env = environment(
        KUBECONFIG=str(stranger),
        MAAS_NAMESPACE=workspace.namespace,
        MAAS_HTTP_HOST="127.0.0.1",
        MAAS_HTTP_PUBLIC_PORT="0",
        MAAS_HTTP_GATEWAY_PORT="0",
    )
    async with maasctl("serve", env=env, cwd=tmp_path) as service:
        public_app, _ = await served(service)
        await service.says("forbidden")
        async with httpx.AsyncClient(base_url=public_app, trust_env=False) as public:
            assert (await public.get("/maas-api/healthz")).status_code == 200
            assert (await public.get("/maas-api/readyz")).status_code == 503
        assert await service.stop() == 0
    assert re.search(r"serviceaccounts.*forbidden", service.errors)
    assert "Traceback" not in service.errors
