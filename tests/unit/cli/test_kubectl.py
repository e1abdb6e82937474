"""The real kubectl against the Kubernetes API double; scripts stand in where it would have to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.cli import kubectl as port
from app.cli.kubectl import Kubectl
from tests.clusters import ADMIN_TOKEN, DoubleCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maas"}}


def config_map(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "maas"},
        "data": data,
    }


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[DoubleCluster]:
    made = DoubleCluster(tmp_path)
    await made.start()
    made.state.apply(NAMESPACE)
    yield made
    await made.stop()


@pytest.fixture
def program() -> Path:
    return Path(sys.executable).with_name("kubectl")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def kubectl(cluster: DoubleCluster, program: Path) -> Kubectl:
    return Kubectl(program, kubeconfig=str(cluster.kubeconfig(ADMIN_TOKEN)))


def script(directory: Path, text: str) -> Path:
    path = directory / "kubectl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its exit code to be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_objects_are_applied_and_read_back(kubectl: Kubectl) -> None:
    (applied,) = await kubectl.apply([config_map(mode="fast")])

    assert applied["data"] == {"mode": "fast"}
    read = await kubectl.json("get", "configmap", "settings", "--namespace=maas")
    assert read["data"] == {"mode": "fast"}
    assert port.items(await kubectl.json("get", "configmaps", "--namespace=maas")) == [read]
    owned = await kubectl.json("get", "configmap", "settings", "--namespace=maas", "--show-managed-fields")
    assert [entry["manager"] for entry in owned["metadata"]["managedFields"]] == ["maasctl"]


async def test_several_objects_are_applied_at_once(kubectl: Kubectl) -> None:
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}}

    applied = await kubectl.apply([other, config_map(mode="fast")])

    assert [item["kind"] for item in applied] == ["Namespace", "ConfigMap"]
    assert await kubectl.apply([]) == []


async def test_a_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    (shown,) = await kubectl.apply([config_map(mode="fast")], dry_run=True)

    assert shown["data"] == {"mode": "fast"}
    with pytest.raises(port.NotFoundError, match='"settings" not found'):
        await kubectl.json("get", "configmap", "settings", "--namespace=maas")


async def test_fields_of_others_are_taken_only_by_force(kubectl: Kubectl) -> None:
    await kubectl.apply([config_map(mode="fast")])
    await kubectl.text(
        "patch",
        "configmap",
        "settings",
        "--namespace=maas",
        "--type=merge",
        '--patch={"data":{"mode":"slow"}}',
    )

    with pytest.raises(port.ConflictError, match=r"kubectl-patch.*\.data\.mode"):
        await kubectl.apply([config_map(mode="fast")])

    (applied,) = await kubectl.apply([config_map(mode="fast")], force_conflicts=True)
    assert applied["data"] == {"mode": "fast"}


async def test_a_kustomization_is_rendered(program: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}")
    (tmp_path / "kustomization.yaml").write_text("resources: [settings.yaml]\nnamespace: models\n")

    (document,) = await Kubectl(program).kustomize(tmp_path)

    assert document["metadata"] == {"name": "settings", "namespace": "models"}


async def test_what_goes_on_is_read_line_by_line(kubectl: Kubectl) -> None:
    await kubectl.apply([config_map(mode="fast")])
    watch = (
        "get",
        "configmap",
        "settings",
        "--namespace=maas",
        "--watch",
        "--output=jsonpath={.data.mode}{'\\n'}",
    )

    async with asyncio.timeout(30), kubectl.lines(*watch) as lines:
        assert await anext(lines) == "fast"
        await kubectl.apply([config_map(mode="slow")])
        assert await anext(lines) == "slow"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("get", "configmap", "absent"), port.NotFoundError),
        (("get", "rainbows"), port.UnknownKindError),
        (("get", "configmaps", "--no-such-flag"), port.CommandFailedError),
    ],
)
async def test_errors_are_typed_and_have_the_words_of_the_program(
    kubectl: Kubectl, arguments: tuple[str, ...], error: type[port.CommandFailedError]
) -> None:
    with pytest.raises(port.CommandFailedError) as failed:
        await kubectl.text(*arguments)

    assert type(failed.value) is error
    assert failed.value.code == 1
    assert str(failed.value)
    assert not str(failed.value).startswith("error: ")


async def test_what_the_user_may_not_do_is_told_apart(cluster: DoubleCluster, program: Path) -> None:
    await cluster.add_user("nobody", "nobody", [], {})
    for token, error in (("nobody", port.ForbiddenError), ("made-up", port.UnauthorizedError)):
        kubectl = Kubectl(program, kubeconfig=str(cluster.kubeconfig(token)))
        with pytest.raises(error) as failed:
            await kubectl.json("get", "secrets", "--namespace=maas")
        assert token == "nobody" or token not in str(failed.value)


async def test_without_a_cluster_that_is_said(cluster: DoubleCluster, program: Path) -> None:
    kubeconfig = str(cluster.kubeconfig(ADMIN_TOKEN))
    with pytest.raises(port.UnreachableError, match="no-such-context"):
        await Kubectl(program, kubeconfig=kubeconfig, context="no-such-context").text("get", "namespaces")
    await cluster.pause()
    with pytest.raises(port.UnreachableError) as failed:
        await Kubectl(program, kubeconfig=kubeconfig).text("get", "namespaces")
    assert "memcache.go" not in str(failed.value)
    await cluster.resume()


async def test_a_program_that_does_not_answer_is_stopped(tmp_path: Path) -> None:
    mute = Kubectl(script(tmp_path, "sleep 600 & echo $! >pid; wait"), timeout_seconds=0.5)

    with contextlib.chdir(tmp_path), pytest.raises(port.UnansweredError, match="kubectl get pods"):
        await mute.text("get", "pods")

    assert ended(int((tmp_path / "pid").read_text()))


async def test_the_end_of_what_goes_on_is_an_error_if_it_failed(tmp_path: Path) -> None:
    failing = Kubectl(script(tmp_path, "echo one; echo 'error: it broke' >&2; exit 3"))

    async with failing.lines("logs") as lines:
        assert await anext(lines) == "one"
        with pytest.raises(port.CommandFailedError, match=r"^it broke$") as failed:
            await anext(lines)
    assert failed.value.code == 3


async def test_a_program_that_says_nothing_still_gives_a_message(tmp_path: Path) -> None:
    with pytest.raises(port.CommandFailedError, match="exit code 7"):
        await Kubectl(script(tmp_path, "exit 7")).text("version")


def test_oc_comes_before_kubectl_and_both_before_the_one_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = script(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Kubectl.find().name == "kubectl"
    shutil.copy(kubectl, tmp_path / "oc")
    assert Kubectl.find().name == "oc"

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert Kubectl.find().name == "kubectl"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "empty" / "python"))
    with pytest.raises(port.ProgramMissingError, match="install one"):
        Kubectl.find()


def test_commands_are_shown_as_a_person_would_type_them() -> None:
    kubectl = Kubectl(Path("/usr/bin/oc"), kubeconfig="/my files/config", context="lab")

    assert kubectl.command("get", "pods") == "oc '--kubeconfig=/my files/config' --context=lab get pods"
