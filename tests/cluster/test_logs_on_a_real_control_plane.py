"""`maasctl logs` as a process, on a real API server, with the logs of a kubelet that runs nothing."""

from __future__ import annotations

import asyncio
import signal
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.installation import Installation, definitions
from tests.control_plane import ControlPlane
from tests.control_plane.kubelet import NODE, kubelet, node
from tests.maasctl import environment, maasctl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.control_plane import Binaries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
SECRETS = (
    *(JWT, "sha256~planted", "MIIEvQIBADANBgkqhkiG9w0"),
    *("hunter2", "hf_plantedplantedplanted", "dXNlcjpwdw=="),
)
LOG = f"""2026-01-01T00:00:00Z starting
2026-01-01T00:00:01Z authorization: Bearer {JWT}
2026-01-01T00:00:02Z caller sha256~planted came by
2026-01-01T00:00:03Z -----BEGIN PRIVATE KEY-----
2026-01-01T00:00:03Z MIIEvQIBADANBgkqhkiG9w0
2026-01-01T00:00:03Z -----END PRIVATE KEY-----
2026-01-01T00:00:04Z {{"password": "hunter2", "tokenId": "alice-sa-1"}}
2026-01-01T00:00:05Z postgres://maas:hunter2@db/maas
2026-01-01T00:00:06Z Authorization: Basic dXNlcjpwdw==
2026-01-01T00:00:07Z the last line
"""


@pytest.fixture(scope="module")
async def control_plane_of_logs(binaries: Binaries) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(binaries) as started:
        await started.install_crds(definitions())
        yield started


@pytest.fixture
async def installation(control_plane_of_logs: ControlPlane, tmp_path: Path) -> AsyncIterator[Installation]:
    """One whose pods run on the kubelet that runs nothing; the second has been restarted."""
    logs = {
        ("maas-api-0", "maas-api", False): LOG,
        ("maas-api-1", "maas-api", False): "2026-01-01T00:00:00Z again\n",
        ("maas-api-1", "maas-api", True): "2026-01-01T00:00:00Z out of memory\n",
    }
    made = Installation(control_plane_of_logs, "openshift")
    restarted = {
        "name": "maas-api",
        "image": "ghcr.io/privatemaas/maas-api:0.1.0",
        "imageID": "ghcr.io/privatemaas/maas-api@sha256:0123",
        "ready": True,
        "restartCount": 1,
        "state": {"running": {}},
    }
    for number in range(2):
        pod = made.manifest("Pod", f"maas-api-{number}")
        pod["spec"] = {**pod["spec"], "nodeName": NODE}
    made.manifest("Pod", "maas-api-1")["status"]["containerStatuses"] = [restarted]
    async with kubelet(tmp_path, logs) as port:
        await control_plane_of_logs.apply(node(port))
        await made.open()
        yield made
        await made.close()


async def collect(
    installation: Installation, kubeconfig: Path, directory: Path, *arguments: str
) -> tuple[int, str, Path]:
    """Exit code, what was said, and the folder."""
    options = (
        f"--namespace={installation.namespace}",
        f"--kubeconfig={kubeconfig}",
        f"--output-dir={directory}",
        "--since=100000h",
    )
    async with maasctl("logs", *options, *arguments, env=environment()) as command:
        code = await command.ended(seconds=200)
    assert "Traceback" not in command.errors, command.errors
    return code, command.output + command.errors, await asyncio.to_thread(made_in, directory)


def made_in(directory: Path) -> Path:
    return next((path for path in directory.glob("maas-logs-*") if path.is_dir()), Path())


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


async def test_it_collects_logs_states_and_versions_without_a_secret(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    def plant(deployment: dict[str, Any]) -> None:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        container["env"].append({"name": "DB_PASSWORD", "value": "hunter2"})
        container["args"] = ["--hf-token", "hf_plantedplantedplanted"]

    await installation.change("Deployment", "maas-api", plant)

    code, said, folder = await collect(installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out")

    assert code == 0, said
    collected = texts(folder)
    for secret in SECRETS:
        assert [name for name, text in collected.items() if secret in text] == []
    namespace = installation.namespace
    log = collected[f"{namespace}/maas-api-0/maas-api.log"]
    assert log.count("\n") == LOG.count("\n")
    assert log.startswith("2026-01-01T00:00:00Z starting\n")
    assert '"tokenId": "alice-sa-1"' in log
    assert log.endswith("2026-01-01T00:00:07Z the last line\n")
    assert "out of memory" in collected[f"{namespace}/maas-api-1/maas-api.previous.log"]
    assert f"{namespace}/maas-api-0/maas-api.previous.log" not in collected

    (deployment,) = yaml.safe_load(collected[f"{namespace}/Deployment.yaml"])
    assert deployment["status"]["readyReplicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "DB_PASSWORD", "value": "[redacted]"} in container["env"]
    assert container["args"] == ["--hf-token", "[redacted]"]
    assert "managedFields" not in deployment["metadata"]
    (gateway,) = yaml.safe_load(collected[f"{namespace}/Gateway.yaml"])
    assert gateway["status"]["listeners"][0]["attachedRoutes"] == 4
    assert "requestsPerMinute: 10" in collected[f"{namespace}/ConfigMap.yaml"]
    assert f"{installation.models}/InferenceService.yaml" in collected
    versions = yaml.safe_load(collected["versions.yaml"])
    assert versions["kubernetes"]["serverVersion"]["gitVersion"].startswith("v1.")
    assert versions["images"]["maas-api"]["ghcr.io/privatemaas/maas-api:0.1.0"].endswith("sha256:0123")
    assert collected["missing.txt"] == ""
    assert not any(name.endswith("Secret.yaml") for name in collected)
    assert "tls.key" not in "".join(collected.values())


async def test_only_its_owner_can_read_it_and_the_archive_holds_the_same(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    code, said, folder = await collect(installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out")

    assert code == 0, said
    archive = folder.with_name(f"{folder.name}.tar.gz")
    assert str(archive) in said
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    for path in folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    with tarfile.open(archive) as packed:
        members = {member.name for member in packed if member.isfile()}
    assert members == {f"{folder.name}/{name}" for name in texts(folder)}


async def test_pods_that_give_no_logs_are_passed_over_and_listed(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    pod = installation.manifest("Pod", "maas-api-1")
    stray = {**pod, "metadata": {**pod["metadata"], "name": "maas-api-2"}}
    await control_plane_of_logs.apply(stray)

    code, said, folder = await collect(installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out")

    assert code == 0, said
    collected = texts(folder)
    assert "the last line" in collected[f"{installation.namespace}/maas-api-0/maas-api.log"]
    assert f"log of {installation.namespace}/maas-api-2, maas-api:" in collected["missing.txt"]
    assert "2 things could not be read" in said


async def test_whoever_may_read_little_gets_that_little_and_the_rest_is_listed(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = control_plane_of_logs.kubeconfig("service", token=await installation.service_token())

    code, said, folder = await collect(installation, kubeconfig, tmp_path / "out")

    assert code == 0, said
    missing = texts(folder)["missing.txt"]
    assert "pods --namespace=" in missing
    assert "is forbidden" in missing


async def test_a_log_is_cut_at_the_most_that_was_asked_for(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    line = "2026-01-01T00:00:00Z " + "word " * 200 + "\n"
    async with kubelet(tmp_path, {("maas-api-0", "maas-api", False): line * 2000}) as port:
        await control_plane_of_logs.apply(node(port))
        code, said, folder = await collect(
            installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out", "--max-mib=1"
        )
    assert code == 0, said
    log = folder / installation.namespace / "maas-api-0" / "maas-api.log"
    assert 1024 * 1024 - len(line) <= log.stat().st_size <= 1024 * 1024 + 1


async def test_a_line_without_end_is_listed_and_nothing_else_is_lost(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    text = "2026-01-01T00:00:00Z before\n" + "x" * 3 * 1024 * 1024
    async with kubelet(tmp_path, {("maas-api-0", "maas-api", False): text}) as port:
        await control_plane_of_logs.apply(node(port))
        code, said, folder = await collect(
            installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out"
        )
    assert code == 0, said
    collected = texts(folder)
    assert "before" in collected[f"{installation.namespace}/maas-api-0/maas-api.log"]
    assert "maas-api-0, maas-api: a line is too long" in collected["missing.txt"]


async def test_a_dry_run_names_what_would_be_collected(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    code, said, _ = await collect(
        installation, control_plane_of_logs.admin_kubeconfig, tmp_path / "out", "--dry-run"
    )
    assert code == 0
    assert f"log of maas-api: {installation.namespace}/maas-api-1, maas-api (previous)" in said
    assert f"events and objects of the namespace {installation.models}" in said
    assert "deployments.apps" in said
    assert not (tmp_path / "out").exists()


async def test_a_cluster_that_is_away_and_a_place_that_cannot_be_written_fail(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    admin = control_plane_of_logs.admin_kubeconfig
    nowhere.write_text(admin.read_text().replace(control_plane_of_logs.url, "https://127.0.0.1:1"))
    code, said, _ = await collect(installation, nowhere, tmp_path / "out")
    assert code == 1
    assert said.startswith("maasctl logs: ")
    assert not (tmp_path / "out").exists()

    code, said, _ = await collect(installation, admin, Path("/proc/nothing"))
    assert code == 1
    assert "choose an --output-dir" in said


async def test_interrupting_it_ends_it_without_an_archive(
    installation: Installation, control_plane_of_logs: ControlPlane, tmp_path: Path
) -> None:
    options = (
        f"--namespace={installation.namespace}",
        f"--kubeconfig={control_plane_of_logs.admin_kubeconfig}",
        f"--output-dir={tmp_path / 'out'}",
    )
    async with maasctl("logs", *options, env=environment()) as command:
        while not list((tmp_path / "out").glob("maas-logs-*")):  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.01)
        assert await command.stop(signal.SIGINT) == 130
    assert "Traceback" not in command.errors
    assert not list((tmp_path / "out").glob("*.tar.gz"))


@pytest.mark.parametrize("arguments", [("--since=yesterday",), ("--max-mib=0",)])
async def test_wrong_usage_is_told_from_failure(arguments: tuple[str, ...]) -> None:
    async with maasctl("logs", *arguments, env=environment()) as command:
        assert await command.ended(seconds=30) == 2
