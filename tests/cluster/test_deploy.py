"""`maasctl deploy` as a process, on a real API server with the real CRDs; the tests are the controllers."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from app.cli.deploy.phases import Overlay, phases
from app.cli.deploy.prerequisites import PREREQUISITES
from app.embedded.kubernetes import User
from tests.cluster.controllers import READY, condition, controllers, listed, path, set_status
from tests.control_plane import CRDS, ControlPlane
from tests.kubectl import Kubectl
from tests.kustomize import MANIFESTS, rendered
from tests.maasctl import environment, maasctl
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.control_plane import Binaries

# Each command starts kubectl dozens of times, which takes long on a busy machine.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

_SECONDS = 300
SUBSCRIPTIONS = "operators.coreos.com/v1alpha1/subscriptions"
GATEWAYS = "gateway.networking.k8s.io/v1/gateways"
CONFIG_MAPS = "v1/configmaps"


WRITTEN_CRDS = Path(__file__).parents[1] / "tools" / "crds"
MODELS = ("simulator", "qwen3")


def definitions() -> list[Path]:
    """The CRD files of the kinds that are deployed."""
    folders = [
        folder
        for overlay in Overlay
        for phase in phases(overlay, models=MODELS)
        for step in phase.steps
        for folder in step
    ]
    used = {document["kind"] for folder in folders for document in rendered(MANIFESTS / folder)}
    used |= {kind for needed in PREREQUISITES.values() for one in needed for _, kind in one.kinds}
    used.add("ClusterServiceVersion")
    # Those that are written here are taken from where they are written.
    written = {file.name: file for file in WRITTEN_CRDS.glob("*.yaml")}
    return [
        written.get(file.name, file)
        for file in sorted(CRDS.rglob("*.yaml"))
        if used.intersection(re.findall(r"^    kind: (\w+)$", file.read_text(), re.MULTILINE))
    ]


@pytest.fixture(scope="module")
async def with_crds(binaries: Binaries) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(binaries) as started:
        await started.install_crds(definitions())
        yield started


@pytest.fixture
async def cluster(with_crds: ControlPlane) -> ControlPlane:
    """One in which nothing is deployed; only namespaces are left, which no controller ends."""
    for resource in READY:
        for item in await listed(with_crds, resource):
            await delete(with_crds, resource, item)
    for name in ("maas", "sample-models"):
        for resource in ("configmaps", "services", "serviceaccounts"):
            await with_crds.client.delete(f"/api/v1/namespaces/{name}/{resource}")
    return with_crds


async def delete(control_plane: ControlPlane, resource: str, item: dict[str, Any]) -> None:
    metadata = item["metadata"]
    answer = await control_plane.client.delete(
        f"{path(resource, metadata.get('namespace'))}/{metadata['name']}"
    )
    assert answer.is_success, answer.text


class Deploy:
    """Runs the command as a platform engineer does."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self.env = environment(KUBECONFIG=str(kubeconfig), HOME=str(home))

    async def __call__(self, *options: str, overlay: str = "openshift") -> tuple[int, str, str]:
        async with maasctl("deploy", f"--overlay={overlay}", *options, env=self.env) as running:
            try:
                code = await running.ended(seconds=_SECONDS)
            except TimeoutError:
                pytest.fail(f"it does not end: {running.output}{running.errors}")
        assert "Traceback" not in running.errors
        return code, running.output, running.errors

    async def ok(self, *options: str, overlay: str = "openshift") -> tuple[str, str]:
        code, output, errors = await self(*options, overlay=overlay)
        assert code == 0, output + errors
        return output, errors


@pytest.fixture
def deploy(cluster: ControlPlane, tmp_path: Path) -> Deploy:
    return Deploy(cluster.admin_kubeconfig, tmp_path)


async def mapping(cluster: ControlPlane) -> str:
    answer = await cluster.client.get(f"{path(CONFIG_MAPS, 'maas')}/tier-to-group-mapping")
    return str(answer.raise_for_status().json()["data"]["mapping.yaml"])


async def edit_mapping(cluster: ControlPlane, text: str) -> None:
    answer = await cluster.client.patch(
        f"{path(CONFIG_MAPS, 'maas')}/tier-to-group-mapping",
        params={"fieldManager": "kubectl-edit"},
        json={"data": {"mapping.yaml": text}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert answer.is_success


def row(table: str, phase: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"│ {phase} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


async def test_all_phases_run_in_order_and_a_second_time_change_nothing(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    async with controllers(cluster):
        output, errors = await deploy.ok()
        names = ("prerequisites", "operators", "platform", "maas", "models")
        assert [line.split(":")[0] for line in errors.splitlines() if not line.startswith(" ")] == list(names)
        for name in names:
            assert row(output, name)[1] == "done"
        assert "The first token: maasctl token get --insecure" in output
        assert "created Deployment maas/maas-api" in errors
        assert await mapping(cluster)

        output, errors = await deploy.ok()
    for effect in ("created", "changed", "kept"):
        assert not re.search(rf"^  {effect}", errors, re.MULTILINE), errors
    assert row(output, "maas")[2] == f"{len(rendered(MANIFESTS / 'overlays' / 'openshift'))} unchanged"


async def test_all_phases_run_behind_envoy_gateway_too(cluster: ControlPlane, deploy: Deploy) -> None:
    async with controllers(cluster):
        output, errors = await deploy.ok("--model=qwen3", "--model=simulator", overlay="kubernetes")
    assert [row(output, name)[1] for name in ("prerequisites", "maas", "models")] == ["done"] * 3
    assert "created InferenceService sample-models/qwen3" in errors
    assert "created InferenceService sample-models/simulator" in errors
    assert "owning-gateway-name=maas-default-gateway" in output


async def test_the_connectivity_link_operator_comes_after_istio(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    """Its operator looks for Istio when it starts, and OpenShift brings Istio for the first GatewayClass."""
    async with controllers(cluster, but=frozenset({"gateway.networking.k8s.io/v1/gatewayclasses"})):
        code, _, errors = await deploy("--only=operators", "--timeout=5s")
    assert code == 3
    assert "GatewayClass maas-gateway to be Accepted" in errors
    names = [item["spec"]["name"] for item in await listed(cluster, SUBSCRIPTIONS)]
    assert sorted(names) == ["openshift-cert-manager-operator", "rhods-operator"]


async def test_what_is_not_ready_in_time_is_named_and_the_next_run_goes_on(
    cluster: ControlPlane, deploy: Deploy, tmp_path: Path
) -> None:
    async def waits_for_two() -> tuple[str, list[str]] | None:
        code, output, errors = await deploy("--only=maas", "--timeout=6s")
        assert code == 3
        assert row(output, "maas")[1] == "timed out"
        told = errors.partition("Still waiting for:")[2]
        commands = [line.strip() for line in told.splitlines() if line.startswith("    ")]
        # On a slow machine the other controllers take longer than six seconds.
        return (told, commands) if len(commands) == 2 else None

    async with controllers(cluster, but=frozenset({GATEWAYS, "apps/v1/deployments"})):
        told, commands = await eventually(waits_for_two, seconds=120)
    assert "Gateway maas/maas-default-gateway to be Programmed" in told
    assert "Deployment maas/maas-api to be Available: its controller has not seen the last change yet" in told
    assert "HTTPRoute" not in told
    kubectl = Kubectl(cluster.admin_kubeconfig, tmp_path)
    for command in commands:
        assert "maas" in await kubectl.ok(*shlex.split(command)[1:])
    assert "Run the same command again" in told

    async with controllers(cluster):
        output, errors = await deploy.ok("--only=maas")
    assert "created" not in errors
    assert row(output, "maas")[1] == "done"


async def test_it_says_why_an_operator_does_not_come(cluster: ControlPlane, deploy: Deploy) -> None:
    async def refuse() -> None:
        await eventually(lambda: listed(cluster, SUBSCRIPTIONS), seconds=60)
        for item in await listed(cluster, SUBSCRIPTIONS):
            said = condition("ResolutionFailed", message="no operators found in package")
            status = {"conditions": [said], "lastUpdated": "2026-01-01T00:00:00Z"}
            await set_status(cluster, SUBSCRIPTIONS, item, status)

    refusing = asyncio.create_task(refuse())
    code, _, errors = await deploy("--only=operators", "--timeout=10s")
    await refusing
    assert code == 3
    assert "ResolutionFailed: no operators found in package" in errors


async def test_it_waits_for_the_kinds_of_a_missing_operator(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    code, _, errors = await Deploy(control_plane.admin_kubeconfig, tmp_path)("--only=maas", "--timeout=3s")
    assert code == 3
    assert "the kind AuthPolicy of kuadrant.io/v1: the cluster does not know it yet" in errors
    assert "api-resources --api-group=kuadrant.io" in errors
    answer = await control_plane.client.get("/api/v1/namespaces/maas")
    assert answer.status_code == 404


async def test_a_dry_run_changes_nothing_and_says_what_cannot_be_told_yet(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    deploy = Deploy(control_plane.admin_kubeconfig, tmp_path)
    before = await control_plane.client.get("/api/v1/namespaces")
    output, errors = await deploy.ok("--dry-run", overlay="kubernetes")

    assert "cert-manager is not there:" in errors
    assert "would be created Namespace maas" in errors
    assert "unchecked Deployment maas/maas-api (there is no namespace maas yet)" in errors
    assert "unchecked Certificate maas/maas-gateway-tls (its kind comes with an operator" in errors
    assert row(output, "maas")[1] == "checked"
    assert "Nothing was changed" in output
    after = await control_plane.client.get("/api/v1/namespaces")
    assert after.json()["items"] == before.json()["items"]


async def test_a_dry_run_shows_what_would_change(cluster: ControlPlane, deploy: Deploy) -> None:
    async with controllers(cluster):
        await deploy.ok("--only=maas")
    output, errors = await deploy.ok("--only=maas", "--dry-run", "--image=registry.example.com:5000/maas:2")

    assert "would be changed Deployment maas/maas-api" in errors
    assert "1 changed" in row(output, "maas")[2]
    (deployment,) = await listed(cluster, "apps/v1/deployments")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("ghcr.io/privatemaas/maas-api:")

    async with controllers(cluster):
        await deploy.ok("--only=maas", "--image=registry.example.com:5000/maas:2")
    (deployment,) = await listed(cluster, "apps/v1/deployments")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com:5000/maas:2"


async def test_an_edited_tier_mapping_stays_unless_it_is_forced(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    edited = "tiers: {free: {groups: [everyone], rateLimit: {requestsPerMinute: 5}}}"
    async with controllers(cluster):
        await deploy.ok("--only=maas")
        shipped = await mapping(cluster)
        await edit_mapping(cluster, edited)

        output, errors = await deploy.ok("--only=maas")
        assert "kept ConfigMap maas/tier-to-group-mapping (kubectl-edit has changed it since" in errors
        assert "1 kept" in row(output, "maas")[2]
        assert await mapping(cluster) == edited

        await deploy.ok("--only=maas", "--force-conflicts")
        assert await mapping(cluster) == shipped


async def test_a_mapping_that_was_applied_by_hand_stays_too(
    cluster: ControlPlane, deploy: Deploy, tmp_path: Path
) -> None:
    async with controllers(cluster):
        await deploy.ok("--only=maas")
        (document,) = (
            item for item in rendered(MANIFESTS / "overlays" / "openshift") if item["kind"] == "ConfigMap"
        )
        mine = {
            **document,
            "data": {"mapping.yaml": "tiers: {free: {groups: [me], rateLimit: {requestsPerMinute: 1}}}"},
        }
        await Kubectl(cluster.admin_kubeconfig, tmp_path).ok("apply", "-f", "-", stdin=yaml.safe_dump(mine))

        await deploy.ok("--only=maas")
    assert await mapping(cluster) == mine["data"]["mapping.yaml"]


async def test_what_others_changed_is_named_with_its_owner(
    cluster: ControlPlane, deploy: Deploy, tmp_path: Path
) -> None:
    async with controllers(cluster):
        await deploy.ok("--only=maas")
    patch = '{"spec": {"selector": {"app.kubernetes.io/name": "mine"}}}'
    await Kubectl(cluster.admin_kubeconfig, tmp_path).ok(
        "patch", "service", "maas-api", "-n", "maas", "--type=merge", "-p", patch, "--field-manager=somebody"
    )

    code, output, errors = await deploy("--only=maas", "--timeout=30s")

    assert code == 1
    assert row(output, "maas")[1] == "failed"
    assert "Service maas/maas-api: somebody has set .spec.selector" in errors
    assert "--force-conflicts" in errors
    async with controllers(cluster):
        await deploy.ok("--only=maas", "--force-conflicts")


async def test_limits_that_follow_the_mapping_stay_and_the_rest_is_upgraded(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    limits = path("kuadrant.io/v1/ratelimitpolicies", "maas") + "/maas-inference"
    async with controllers(cluster):
        await deploy.ok("--only=maas")
        answer = await cluster.client.patch(
            limits,
            params={"fieldManager": "maas-api-limits", "force": "true"},
            json={
                "apiVersion": "kuadrant.io/v1",
                "kind": "RateLimitPolicy",
                "metadata": {"name": "maas-inference"},
                "spec": {"limits": {"free": {"rates": [{"limit": 7, "window": "60s"}]}}},
            },
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.is_success, answer.text

        _, errors = await deploy.ok("--only=maas", "--image=example.com/maas-api:2")

        assert "changed Deployment maas/maas-api" in errors
        spec = (await cluster.client.get(limits)).json()["spec"]
        assert spec["limits"]["free"]["rates"] == [{"limit": 7, "window": "60s"}]
        assert spec["targetRef"]


async def test_what_was_applied_by_hand_before_is_taken_over(
    cluster: ControlPlane, deploy: Deploy, tmp_path: Path
) -> None:
    overlay = MANIFESTS / "overlays" / "openshift"
    await Kubectl(cluster.admin_kubeconfig, tmp_path).ok("apply", "-k", str(overlay))
    async with controllers(cluster):
        _, errors = await deploy.ok("--only=maas", "--image=example.com/maas-api:2")
    assert "changed Deployment maas/maas-api" in errors


async def test_an_operator_that_is_installed_elsewhere_is_left_alone(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    theirs = {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": "cert-manager", "namespace": "platform-team"},
        "spec": {"name": "openshift-cert-manager-operator", "source": "x", "sourceNamespace": "y"},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "platform-team"}}
    await cluster.apply(namespace)
    await cluster.apply(theirs)
    code, _, errors = await deploy("--only=operators", "--timeout=1s")
    assert code == 3
    assert "waiting for Subscription platform-team/cert-manager to be Succeeded" in errors
    async with controllers(cluster):
        _, errors = await deploy.ok("--only=operators")
    assert "is installed already, by Subscription platform-team/cert-manager" in errors
    found = await listed(cluster, SUBSCRIPTIONS)
    assert sorted(item["metadata"]["name"] for item in found) == [
        "cert-manager",
        "rhcl-operator",
        "rhods-operator",
    ]


async def test_it_can_be_interrupted_while_it_waits(cluster: ControlPlane, deploy: Deploy) -> None:
    async with maasctl("deploy", "--overlay=openshift", "--only=maas", env=deploy.env) as running:
        await running.says("waiting for Gateway")
        assert await running.stop(signal.SIGINT) == 130
    assert "interrupted; run the same command again" in running.errors
    assert row(running.output, "maas")[1] == "interrupted"
    assert "Traceback" not in running.errors


async def test_a_restart_of_the_api_server_does_not_end_it(cluster: ControlPlane, deploy: Deploy) -> None:
    async with maasctl("deploy", "--overlay=openshift", "--only=maas", env=deploy.env) as running:
        await running.says("waiting for Gateway")
        await cluster.pause()
        await running.says("waiting for the cluster to answer")
        await cluster.resume()
        async with controllers(cluster):
            assert await running.ended(seconds=_SECONDS) == 0


async def test_what_is_missing_on_kubernetes_is_told_with_what_to_run(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    code, output, errors = await Deploy(control_plane.admin_kubeconfig, tmp_path)(overlay="kubernetes")
    assert code == 1
    assert row(output, "prerequisites")[1] == "failed"
    assert "Envoy Gateway is not there:\n  helm install envoy-gateway" in errors
    assert "KServe is not there" not in errors


async def test_a_cluster_that_is_no_openshift_is_told_apart(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    code, _, errors = await Deploy(control_plane.admin_kubeconfig, tmp_path)()
    assert code == 1
    assert "maasctl deploy --overlay kubernetes" in errors


async def test_who_may_not_install_is_told_so(cluster: ControlPlane, tmp_path: Path) -> None:
    cluster.add_user("sha256~stranger", User("stranger", ()))
    stranger = cluster.kubeconfig("stranger", token="sha256~stranger")
    code, _, errors = await Deploy(stranger, tmp_path)("--only=prerequisites")
    assert code == 1
    assert "You may not create ClusterRoles here" in errors


async def test_without_a_cluster_it_says_so_at_once(tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text("{apiVersion: v1, kind: Config, clusters: [], contexts: [], users: []}")
    code, output, errors = await Deploy(nowhere, tmp_path)("--only=maas")
    assert code == 1
    assert "the cluster cannot be reached" in errors
    assert output == ""


async def test_envoy_gateway_with_its_extensions_off_is_told_apart(
    cluster: ControlPlane, deploy: Deploy
) -> None:
    config = {"apiVersion": "gateway.envoyproxy.io/v1alpha1", "extensionApis": {"enableLua": True}}
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "envoy-gateway-system"}}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "envoy-gateway-config", "namespace": "envoy-gateway-system"},
        "data": {"envoy-gateway.yaml": yaml.safe_dump(config)},
    }
    await cluster.apply(system)
    await cluster.apply(config_map)
    code, _, errors = await deploy("--only=prerequisites", overlay="kubernetes")
    assert code == 1
    assert "Envoy Gateway has enableEnvoyPatchPolicy off" in errors
    await delete(cluster, CONFIG_MAPS, config_map)


async def test_hints_name_the_program_that_is_there(
    cluster: ControlPlane, deploy: Deploy, tmp_path: Path
) -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    (tmp_path / "oc").symlink_to(kubectl.resolve())
    deploy.env["PATH"] = f"{tmp_path}:{deploy.env['PATH']}"
    code, _, errors = await deploy("--only=maas", "--timeout=1s")
    assert code == 3
    assert "    oc describe gateway.gateway.networking.k8s.io maas-default-gateway --namespace=maas" in errors
