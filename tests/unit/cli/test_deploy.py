"""What `maasctl deploy` deploys, in which order, and how it tells that something is ready."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from app.cli.deploy import manifests
from app.cli.deploy.discovery import without_duplicates
from app.cli.deploy.errors import ChoiceError
from app.cli.deploy.phases import Overlay, Phase, Serving, choose, phases
from app.cli.deploy.prerequisites import PREREQUISITES
from app.cli.deploy.readiness import Key, csv_of, is_waited_for, key, pending
from app.cli.root import create_cli
from tests.kustomize import MANIFESTS, rendered

if TYPE_CHECKING:
    from pathlib import Path

DOCS = MANIFESTS.parent / "docs"
ALL = [*phases(Overlay.OPENSHIFT), *phases(Overlay.OPENSHIFT, serving=Serving.OPENDATAHUB)]
ALL += phases(Overlay.KUBERNETES)


def folders(*found: Phase) -> list[str]:
    return [folder for phase in found for step in phase.steps for folder in step]


# Phases


@pytest.mark.parametrize("room", ["operators", "platform", "overlays"])
def test_every_folder_is_deployed_by_a_phase(room: str) -> None:
    there = {f"{room}/{path.name}" for path in (MANIFESTS / room).iterdir() if path.is_dir()}

    assert there <= set(folders(*ALL))


@pytest.mark.parametrize("folder", sorted(set(folders(*ALL))))
def test_every_folder_of_a_phase_exists(folder: str) -> None:
    assert rendered(MANIFESTS / folder)


def test_an_operator_comes_before_what_needs_it() -> None:
    for operator in ("serverless", "leader-worker-set"):
        (phase,) = (phase for phase in phases(Overlay.OPENSHIFT) if phase.name == operator)
        assert phase.steps == ((f"operators/{operator}",), (f"platform/{operator}",))
    order = folders(*choose(phases(Overlay.OPENSHIFT), ()))
    assert order.index("platform/gateway-class") < order.index("operators/connectivity-link")
    assert order.index("operators/connectivity-link") < order.index("platform/kuadrant")
    assert order.index("platform/kuadrant") < order.index("overlays/openshift")


def test_optional_phases_run_only_where_they_are_named() -> None:
    available = phases(Overlay.OPENSHIFT)
    assert [phase.name for phase in choose(available, ())] == [
        *("prerequisites", "operators", "platform", "maas", "models")
    ]
    assert [phase.name for phase in choose(available, ["models", "serverless"])] == ["serverless", "models"]
    with pytest.raises(ChoiceError, match="there is no phase model; the phases are prerequisites, operators"):
        choose(available, ["model"])


def test_open_data_hub_takes_the_place_of_openshift_ai() -> None:
    found = folders(*phases(Overlay.OPENSHIFT, serving=Serving.OPENDATAHUB))
    assert {"operators/opendatahub", "platform/opendatahub"} <= set(found)
    assert not {"operators/openshift-ai", "platform/model-serving"} & set(found)


def test_what_must_be_there_on_kubernetes_is_installed_as_the_documentation_says() -> None:
    text = (DOCS / "kubernetes.md").read_text()
    for prerequisite in PREREQUISITES[Overlay.KUBERNETES]:
        for line in prerequisite.remedy:
            assert line in text.splitlines(), line


# Manifests


def test_manifests_are_those_of_the_checkout_or_of_the_directory_given(tmp_path: Path) -> None:
    assert manifests.find(None) == MANIFESTS
    assert manifests.find(MANIFESTS) == MANIFESTS
    with pytest.raises(ChoiceError, match="holds no overlays"):
        manifests.find(tmp_path)


def test_without_a_checkout_it_is_told_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "CHECKOUT", tmp_path)
    with pytest.raises(ChoiceError, match="--manifests CHECKOUT/manifests"):
        manifests.find(None)


def test_models_are_folders_with_a_model() -> None:
    assert {"simulator", "qwen3", "granite-7b", "facebook-opt-125m"} <= set(manifests.models(MANIFESTS))
    assert "vllm-runtime" not in manifests.models(MANIFESTS)
    with pytest.raises(ChoiceError, match=r"there is no model gpt; the models are .*qwen3"):
        manifests.check_models(MANIFESTS, ["qwen3", "gpt"])


@pytest.mark.parametrize("text", ["", "other=x", "maas-api=", "=x"])
def test_an_image_that_the_manifests_do_not_use_is_refused(text: str) -> None:
    with pytest.raises(ChoiceError, match="REFERENCE or NAME=REFERENCE"):
        manifests.parse_images([text])


def test_images_are_named_or_the_services() -> None:
    assert manifests.parse_images(["example.com:5000/maas@sha256:1", "maas-embedded=example.com/sim:2"]) == {
        "ghcr.io/privatemaas/maas-api": "example.com:5000/maas@sha256:1",
        "ghcr.io/privatemaas/maas-embedded": "example.com/sim:2",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--overlay=aws",), "aws"),
        (("--overlay=openshift", "--only=model"), "there is no phase model"),
        (("--overlay=openshift", "--model=gpt"), "there is no model gpt"),
        (("--overlay=openshift", "--timeout=soon"), "--timeout: expected a duration"),
        (("--overlay=openshift", "--image=x=y"), "--image takes"),
        (("--overlay=openshift", "--kubeconfig=/nowhere"), "--kubeconfig"),
        ((), "--overlay"),
    ],
)
def test_wrong_usage_is_told_before_a_cluster_is_asked(options: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(create_cli(), ["deploy", *options])
    assert result.exit_code == 2
    assert said in result.stderr


def test_list_shows_the_phases_and_asks_no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(create_cli(), ["deploy", "--overlay=openshift", "--list"])
    assert result.exit_code == 0
    for phase in phases(Overlay.OPENSHIFT):
        assert re.search(rf"^│ {phase.name} ", result.stdout, re.MULTILINE)


# Readiness


def document(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "maas", "generation": 2},
        **fields,
    }


def seen(found: dict[str, Any], *others: dict[str, Any], needs_address: bool = True) -> str | None:
    live: dict[Key, dict[str, Any]] = {key(item): item for item in (found, *others)}
    said = pending(found, live, needs_address=needs_address)
    return None if said is None else said.seen


def conditions(**statuses: str) -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": status} for name, status in statuses.items()]}


def test_every_kind_that_a_controller_answers_is_waited_for() -> None:
    """What is left is ready when it is applied."""
    at_once = {
        *("Namespace", "ServiceAccount", "ConfigMap", "Service", "NetworkPolicy", "PodDisruptionBudget"),
        *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "OperatorGroup", "ServingRuntime"),
        # Their controllers write no condition that says they work.
        *("EnvoyFilter", "EnvoyProxy", "DSCInitialization"),
    }
    used = [item for folder in set(folders(*ALL)) for item in rendered(MANIFESTS / folder)]

    assert {item["kind"] for item in used if not is_waited_for(item)} <= at_once


def test_a_deployment_is_ready_when_its_last_change_is_available() -> None:
    spec = {"replicas": 2}
    counts = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}
    assert seen(document("apps/v1", "Deployment", spec=spec, status=counts)) is None
    assert seen(document("apps/v1", "Deployment", spec=spec)) == (
        "its controller has not seen the last change yet"
    )
    old = {**counts, "updatedReplicas": 1}
    assert seen(document("apps/v1", "Deployment", spec=spec, status=old)) == "1 of 2 replicas are available"
    failed = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    stuck = {**old, "conditions": [failed]}
    assert "ProgressDeadlineExceeded" in str(seen(document("apps/v1", "Deployment", spec=spec, status=stuck)))


def test_a_condition_about_an_older_generation_does_not_count() -> None:
    condition = {"type": "Programmed", "status": "True", "observedGeneration": 1}
    gateway = document("gateway.networking.k8s.io/v1", "Gateway", status={"conditions": [condition]})
    assert seen(gateway) == "its controller has not seen the last change yet"


def test_a_gateway_without_an_address_is_ready_only_where_none_is_needed() -> None:
    condition = {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "none"}
    gateway = document("gateway.networking.k8s.io/v1", "Gateway", status={"conditions": [condition]})
    assert seen(gateway) == "Programmed is False (AddressNotAssigned: none)"
    assert seen(gateway, needs_address=False) is None
    condition["reason"] = "Invalid"
    assert seen(gateway, needs_address=False) is not None


def test_a_policy_that_others_override_everywhere_is_in_force() -> None:
    condition = {"type": "Enforced", "status": "False", "reason": "Overridden"}
    assert seen(document("kuadrant.io/v1", "AuthPolicy", status={"conditions": [condition]})) is None
    condition["reason"] = "Unknown"
    assert seen(document("kuadrant.io/v1", "AuthPolicy", status={"conditions": [condition]})) == (
        "Enforced is False (Unknown)"
    )


def test_a_route_is_ready_when_every_gateway_accepts_it() -> None:
    good, bad = conditions(Accepted="True", ResolvedRefs="True"), conditions(Accepted="False")
    route = document("gateway.networking.k8s.io/v1", "HTTPRoute", status={"parents": [good, bad]})
    assert seen(route) == "Accepted is False"
    route["status"]["parents"] = [good]
    assert seen(route) is None
    route["status"]["parents"] = [conditions(Accepted="True")]
    assert seen(route) == "no condition ResolvedRefs yet"
    route["status"] = {}
    assert seen(route) == "no controller has answered yet"


def test_an_operator_is_ready_when_the_version_that_olm_chose_has_succeeded() -> None:
    api = "operators.coreos.com/v1alpha1"
    subscription = document(api, "Subscription", spec={"name": "rhcl-operator"})
    assert seen(subscription) == "OLM has chosen no version yet"
    failed = {"type": "ResolutionFailed", "status": "True", "message": "no\n such package"}
    subscription["status"] = {"conditions": [failed]}
    assert seen(subscription) == "ResolutionFailed (no such package)"
    subscription["status"] = {"currentCSV": "rhcl-operator.v1"}
    assert seen(subscription) == "it is not there yet"
    csv = csv_of(subscription)
    assert csv is not None
    csv["status"] = {"phase": "Pending", "reason": "RequirementsNotMet", "message": "one is missing"}
    assert seen(subscription, csv) == "its CSV is Pending (RequirementsNotMet: one is missing)"
    csv["status"] = {"phase": "Succeeded"}
    assert seen(subscription, csv) is None


def test_an_operator_group_goes_with_a_subscription_that_is_left_out() -> None:
    ours = list(rendered(MANIFESTS / "operators" / "cert-manager"))
    name = "openshift-cert-manager-operator"
    theirs = {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": "theirs", "namespace": "elsewhere"},
        "spec": {"name": name},
    }
    remaining, instead = without_duplicates(ours, [theirs])
    assert ([item["kind"] for item in remaining], instead) == (["Namespace"], [theirs])
    (subscription,) = (item for item in ours if item["kind"] == "Subscription")
    assert without_duplicates(ours, [subscription, theirs]) == (ours, [])
