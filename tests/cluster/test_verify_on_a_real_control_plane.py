"""`maasctl verify` as a process, on a real API server that holds the shipped manifests."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import kubectl as real_kubectl
from tests.cluster.installation import Installation, certificate_that_ends_in, condition, definitions
from tests.control_plane import ControlPlane
from tests.loopback import serve
from tests.maasctl import environment, maasctl, up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from tests.control_plane import Binaries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# A port-forward needs a kubelet. For everything else this is the real kubectl.
_KUBECTL = """#!{python}
import os, sys
if "port-forward" in sys.argv:
    print("Forwarding from 127.0.0.1:{port} -> 8081", flush=True)
    sys.stdin.read()
    import signal; signal.pause()
os.execv("{kubectl}", ["kubectl", *sys.argv[1:]])
"""
PROFILES = {"kuadrant": "openshift", "envoy-gateway": "kubernetes"}


@pytest.fixture(scope="module")
async def platform_control_plane(binaries: Binaries) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(binaries) as started:
        await started.install_crds(definitions())
        yield started


@pytest.fixture(params=list(PROFILES.values()), ids=list(PROFILES))
async def installation(
    platform_control_plane: ControlPlane, request: pytest.FixtureRequest
) -> AsyncIterator[Installation]:
    made = Installation(platform_control_plane, request.param)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def kuadrant(platform_control_plane: ControlPlane) -> AsyncIterator[Installation]:
    made = Installation(platform_control_plane, PROFILES["kuadrant"])
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def envoy_gateway(platform_control_plane: ControlPlane) -> AsyncIterator[Installation]:
    made = Installation(platform_control_plane, PROFILES["envoy-gateway"])
    await made.open()
    yield made
    await made.close()


def paths(directory: Path, *, port: int = 1) -> str:
    """A PATH whose kubectl forwards to this port."""
    directory.mkdir(exist_ok=True)
    program = directory / "kubectl"
    program.write_text(_KUBECTL.format(python=sys.executable, port=port, kubectl=real_kubectl.find()))
    program.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


async def verify(
    installation: Installation, kubeconfig: Path, *arguments: str, **variables: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and each check by its id."""
    options = ("--output=json", f"--namespace={installation.namespace}", f"--kubeconfig={kubeconfig}")
    async with maasctl("verify", *options, *arguments, env=environment(**variables)) as command:
        code = await command.ended(seconds=200)
    assert "Traceback" not in command.errors, command.errors
    return code, {check["id"]: check for check in json.loads(command.output)["checks"]}


async def failures(
    installation: Installation, control_plane: ControlPlane, *families: str
) -> dict[str, dict[str, Any]]:
    """The checks of these families that failed."""
    only = [f"--only={family}" for family in families]
    code, checks = await verify(installation, control_plane.admin_kubeconfig, *only)
    found = {name: check for name, check in checks.items() if check["status"] == "fail"}
    assert code == (1 if found else 0)
    return found


async def test_a_platform_whose_controllers_are_content_passes_every_check(
    installation: Installation, platform_control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane = platform_control_plane
    service = control_plane.kubeconfig("service", token=await installation.service_token())
    env = environment(MAAS_NAMESPACE=installation.namespace)
    await control_plane.client.post(
        "/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "alice"}}
    )
    caller = await control_plane.service_account_token("default", "alice")
    async with up(tmp_path / "state", f"--kubeconfig={service}", env=env) as local:
        port = int(local.metrics.removesuffix("/metrics").rpartition(":")[2])
        code, checks = await verify(
            installation,
            control_plane.admin_kubeconfig,
            f"--gateway={local.url}",
            f"--cacert={local.state_dir / 'gateway' / 'certificates' / 'ca.pem'}",
            PATH=paths(tmp_path / "bin", port=port),
            MAAS_CALLER_TOKEN=caller,
        )
    troubled = {name: check for name, check in checks.items() if check["status"] in ("fail", "warn")}
    assert troubled == {}
    assert code == 0
    skipped = {name for name, check in checks.items() if check["status"] == "skip"}
    only_kuadrant = set() if installation.has("AuthPolicy") else {"policies.cache", "audiences.policies"}
    assert skipped == {"limit.seen", "limit.list", "metrics.prometheus"} | only_kuadrant


async def test_what_is_missing_of_the_rules_is_named_verb_by_verb(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change("Role", "maas-api", lambda role: role["rules"][0]["verbs"].remove("delete"))

    failed = await failures(kuadrant, platform_control_plane, "rbac")

    assert failed.keys() == {"rbac.service"}
    assert failed["rbac.service"]["detail"] == f"may not delete serviceaccounts in {kuadrant.namespace}"
    assert "kubectl apply -f manifests/base/rbac.yaml" in failed["rbac.service"]["fix"]


async def test_a_tier_that_no_model_is_open_to_is_named(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change("RoleBinding", "maas-model-users", lambda binding: binding["subjects"].pop(0))

    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=rbac")

    assert checks["rbac.tiers"]["status"] == "warn"
    assert checks["rbac.tiers"]["detail"] == "no model is open to: free"
    assert "maas:tier:NAME" in checks["rbac.tiers"]["fix"]


async def test_a_broken_mapping_is_shown_with_its_line(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    broken = "tiers:\n  free: {groups: [all], ratelimit: {requestsPerMinute: 1}}\n"
    await kuadrant.change(
        "ConfigMap", "tier-to-group-mapping", lambda mapping: mapping["data"].update({"mapping.yaml": broken})
    )

    _, checks = await verify(
        kuadrant, platform_control_plane.admin_kubeconfig, "--only=mapping", "--only=policies"
    )

    assert checks["mapping.valid"]["status"] == "fail"
    assert "line 2" in checks["mapping.valid"]["detail"]
    assert "did you mean `rateLimit`?" in checks["mapping.valid"]["detail"]
    assert (
        f"kubectl edit configmap tier-to-group-mapping -n {kuadrant.namespace}"
        in checks["mapping.valid"]["fix"]
    )
    assert checks["policies.limits"]["status"] == "skip"
    assert checks["policies.limits"]["detail"] == "needs mapping.valid, which failed"


async def test_replicas_that_do_not_start_are_named_with_the_reason(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    waiting = {
        "name": "maas-api",
        "image": "i",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff"}},
    }
    await kuadrant.change("Pod", "maas-api-1", lambda pod: pod["status"].update(containerStatuses=[waiting]))
    await kuadrant.change(
        "Deployment", "maas-api", lambda each: each["status"].update(readyReplicas=1, availableReplicas=1)
    )

    failed = await failures(kuadrant, platform_control_plane, "cluster")

    assert "1 of 2 replicas are ready" in failed["cluster.deployment"]["detail"]
    assert "maas-api-1: ImagePullBackOff" in failed["cluster.deployment"]["detail"]
    assert f"kubectl describe deployment,pods -n {kuadrant.namespace}" in failed["cluster.deployment"]["fix"]


async def test_a_gateway_that_is_not_programmed_fails_and_its_listeners_are_not_looked_at(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    unprogrammed = condition("Programmed", "False", "Invalid", "no Deployment")
    await kuadrant.change(
        "Gateway",
        "maas-default-gateway",
        lambda gateway: gateway["status"].update(conditions=[condition("Accepted"), unprogrammed]),
    )

    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=gateway")

    assert checks["gateway.programmed"]["status"] == "fail"
    assert checks["gateway.programmed"]["detail"] == "Programmed is False: Invalid: no Deployment"
    fix = f"kubectl describe gateway maas-default-gateway -n {kuadrant.namespace}"
    assert checks["gateway.programmed"]["fix"] == fix
    assert checks["gateway.listeners"]["status"] == "skip"
    assert checks["gateway.routes"]["status"] == "pass"


async def test_a_gateway_without_a_load_balancer_is_only_warned_about(
    envoy_gateway: Installation, platform_control_plane: ControlPlane
) -> None:
    unassigned = condition("Programmed", "False", "AddressNotAssigned")
    await envoy_gateway.change(
        "Gateway",
        "maas-default-gateway",
        lambda gateway: gateway["status"].update(conditions=[condition("Accepted"), unassigned]),
    )

    code, checks = await verify(envoy_gateway, platform_control_plane.admin_kubeconfig, "--only=gateway")

    assert code == 0
    assert checks["gateway.programmed"]["status"] == "warn"
    assert checks["gateway.listeners"]["status"] == "pass"


async def test_an_expired_certificate_and_a_missing_one_are_told_apart(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change(
        "Secret",
        "maas-gateway-tls",
        lambda secret: secret["data"].update({"tls.crt": certificate_that_ends_in(-dt.timedelta(days=1))}),
    )
    failed = await failures(kuadrant, platform_control_plane, "gateway")
    assert failed["gateway.certificate"]["detail"].startswith("the certificate has expired on ")

    listener = {"name": "another-secret"}
    await kuadrant.change(
        "Gateway",
        "maas-default-gateway",
        lambda gateway: gateway["spec"]["listeners"][0]["tls"].update(certificateRefs=[listener]),
    )
    failed = await failures(kuadrant, platform_control_plane, "gateway")
    assert (
        failed["gateway.certificate"]["detail"] == f"there is no Secret {kuadrant.namespace}/another-secret"
    )


async def test_a_certificate_that_ends_soon_is_warned_about(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    soon = certificate_that_ends_in(dt.timedelta(days=3))
    await kuadrant.change(
        "Secret", "maas-gateway-tls", lambda secret: secret["data"].update({"tls.crt": soon})
    )
    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=gateway")
    assert checks["gateway.certificate"]["status"] == "warn"
    assert checks["gateway.certificate"]["detail"].startswith("the certificate expires on ")

    await kuadrant.change(
        "Secret", "maas-gateway-tls", lambda secret: secret["data"].update({"tls.crt": "bm90aGluZw=="})
    )
    failed = await failures(kuadrant, platform_control_plane, "gateway")
    assert "holds no certificate in tls.crt" in failed["gateway.certificate"]["detail"]


async def test_an_empty_namespace_is_told_what_is_not_there(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    code, checks = await verify(
        kuadrant,
        platform_control_plane.admin_kubeconfig,
        "--namespace=nowhere",
        *("--only=cluster", "--only=mapping", "--only=policies"),
    )
    assert code == 1
    details = {name: check["detail"] for name, check in checks.items() if check["status"] == "fail"}
    assert details == {
        "cluster.deployment": "there is no Deployment maas-api in the namespace nowhere",
        "mapping.valid": "there is no ConfigMap tier-to-group-mapping in the namespace nowhere",
        "gateway.class": "there is no Gateway maas-default-gateway in the namespace nowhere",
    }


async def test_a_route_that_leads_nowhere_is_named(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    unresolved = [condition("Accepted"), condition("ResolvedRefs", "False", "BackendNotFound", "no Service")]
    await kuadrant.change(
        "HTTPRoute",
        "simulator",
        lambda route: route["status"]["parents"][0].update(conditions=unresolved),
    )

    failed = await failures(kuadrant, platform_control_plane, "gateway")

    expected = f"HTTPRoute {kuadrant.models}/simulator: ResolvedRefs is False: BackendNotFound: no Service"
    assert failed["gateway.routes"]["detail"] == expected


async def test_a_model_without_a_route_is_warned_about(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change(
        "HTTPRoute",
        "simulator",
        lambda route: route["spec"]["rules"][0]["matches"][0]["headers"][0].update(value="another"),
    )

    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=gateway")

    assert checks["gateway.models"]["status"] == "warn"
    assert (
        checks["gateway.models"]["detail"] == f"nothing leads to InferenceService {kuadrant.models}/simulator"
    )


async def test_a_policy_that_is_not_enforced_fails_with_what_to_look_at(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    unenforced = [condition("Accepted"), condition("Enforced", "False", "Unknown", "wasm is missing")]
    await kuadrant.change(
        "AuthPolicy", "maas-inference", lambda policy: policy["status"].update(conditions=unenforced)
    )

    failed = await failures(kuadrant, platform_control_plane, "policies")

    assert failed.keys() == {"policies.enforced"}
    expected = f"AuthPolicy {kuadrant.namespace}/maas-inference: Enforced is False: Unknown: wasm is missing"
    assert failed["policies.enforced"]["detail"] == expected
    assert "kuadrant-system" in failed["policies.enforced"]["fix"]


async def test_a_policy_that_no_controller_has_seen_fails(
    envoy_gateway: Installation, platform_control_plane: ControlPlane
) -> None:
    await envoy_gateway.change(
        "SecurityPolicy", "maas-inference", lambda policy: policy["status"].update(ancestors=[])
    )

    failed = await failures(envoy_gateway, platform_control_plane, "policies")

    assert "maas-inference: Accepted is not reported" in failed["policies.accepted"]["detail"]


async def test_a_route_that_nothing_guards_is_named(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.remove("AuthPolicy", "maas-default-gateway")

    failed = await failures(kuadrant, platform_control_plane, "policies")

    assert failed["policies.covered"]["detail"] == f"nothing guards the route {kuadrant.models}/simulator"


async def test_without_any_policy_nothing_else_is_asked(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    for name in ("maas-default-gateway", "maas-api", "maas-models", "maas-inference"):
        await kuadrant.remove("AuthPolicy", name)

    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=policies")

    assert checks["policies.profile"]["status"] == "fail"
    assert {checks[f"policies.{name}"]["status"] for name in ("accepted", "enforced", "covered")} == {"skip"}


async def test_limits_that_are_not_those_of_the_mapping_are_named(
    installation: Installation, platform_control_plane: ControlPlane
) -> None:
    mapping = (
        "tiers:\n"
        "  free: {groups: [all], rateLimit: {requestsPerMinute: 10}}\n"
        "  premium: {groups: [some], rateLimit: {requestsPerMinute: 120}}\n"
        "  gold: {groups: [few], rateLimit: {requestsPerMinute: 5000}}\n"
    )
    await installation.change(
        "ConfigMap", "tier-to-group-mapping", lambda each: each["data"].update({"mapping.yaml": mapping})
    )

    failed = await failures(installation, platform_control_plane, "policies")

    assert failed.keys() == {"policies.limits"}
    said = failed["policies.limits"]["detail"].split("; ")
    for route in ("maas-inference", "maas-models"):
        assert f"{route}: 100 for premium, where the mapping has 120" in said
        assert f"{route}: no limit for gold, where the mapping has 5000" in said
    assert len(said) == 4


async def test_limits_that_cannot_follow_the_mapping_are_warned_about(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.remove("RoleBinding", "maas-api-limits-kuadrant")

    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=policies")

    assert checks["policies.follow"]["status"] == "warn"
    refused = f"may not patch ratelimitpolicies.kuadrant.io maas-inference in {kuadrant.namespace}"
    assert refused in checks["policies.follow"]["detail"]

    off = {"name": "MAAS_LIMITS_MODE", "value": "off"}
    await kuadrant.change(
        "Deployment",
        "maas-api",
        lambda each: each["spec"]["template"]["spec"]["containers"][0]["env"].append(off),
    )
    _, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=policies")
    assert checks["policies.follow"]["detail"] == "MAAS_LIMITS_MODE is off"


async def test_a_cache_that_holds_no_token_fails(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change("Authorino", "authorino", lambda each: each["spec"].pop("evaluatorCacheSize"))

    failed = await failures(kuadrant, platform_control_plane, "policies")

    assert f"{kuadrant.namespace}/authorino has 1 MB" in failed["policies.cache"]["detail"]
    assert failed["policies.cache"]["fix"] == "kubectl apply -k manifests/platform/kuadrant"


async def test_audiences_that_differ_are_named_on_both_sides(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    variable = {"name": "MAAS_TOKENS_AUDIENCE", "value": "another-audience"}
    await kuadrant.change(
        "Deployment",
        "maas-api",
        lambda each: each["spec"]["template"]["spec"]["containers"][0]["env"].append(variable),
    )

    code, checks = await verify(kuadrant, platform_control_plane.admin_kubeconfig, "--only=audiences")

    assert code == 1
    assert checks["audiences.policies"]["status"] == "fail"
    detail = checks["audiences.policies"]["detail"]
    for name in ("maas-inference", "maas-models"):
        assert f"AuthPolicy {kuadrant.namespace}/{name} wants maas-default-gateway-sa" in detail
    assert "the service issues another-audience" in detail


async def test_the_address_comes_from_the_route_or_from_the_gateways_status(
    kuadrant: Installation, envoy_gateway: Installation, platform_control_plane: ControlPlane
) -> None:
    await kuadrant.change(
        "Route", "maas-default-gateway", lambda route: route["spec"].update(host="localhost")
    )
    for installation, url in ((kuadrant, "https://localhost/"), (envoy_gateway, "https://127.0.0.1/")):
        failed = await failures(installation, platform_control_plane, "journey")
        assert f"no answer from {url}maas-api/healthz" in failed["journey.address"]["detail"]
        assert "--gateway https://HOST" in failed["journey.address"]["fix"]


async def test_without_an_address_it_asks_for_one(
    envoy_gateway: Installation, platform_control_plane: ControlPlane
) -> None:
    await envoy_gateway.change(
        "Gateway", "maas-default-gateway", lambda gateway: gateway["status"].update(addresses=[])
    )
    failed = await failures(envoy_gateway, platform_control_plane, "journey")
    assert "neither a Route nor the Gateway's status" in failed["journey.address"]["detail"]


async def test_a_replica_that_cannot_decide_says_why(
    kuadrant: Installation, platform_control_plane: ControlPlane, tmp_path: Path
) -> None:
    answer = {
        "status": "unavailable",
        "problems": ["no valid tier mapping yet"],
        "mapping": {"error": "line 2, column 1: unknown field"},
    }

    async def readyz(_: Request) -> Response:
        return JSONResponse(answer, status_code=503)

    async with serve(Starlette(routes=[Route("/readyz", readyz)])) as (_, port):
        _, checks = await verify(
            kuadrant,
            platform_control_plane.admin_kubeconfig,
            "--only=cluster",
            PATH=paths(tmp_path / "bin", port=port),
        )
        assert checks["cluster.ready"]["status"] == "fail"
        assert "maas-api-1: no valid tier mapping yet; line 2, column 1" in checks["cluster.ready"]["detail"]

        answer["status"] = "degraded"
        _, checks = await verify(
            kuadrant,
            platform_control_plane.admin_kubeconfig,
            "--only=cluster",
            PATH=paths(tmp_path / "bin", port=port),
        )
        assert checks["cluster.ready"]["status"] == "warn"


async def test_whoever_may_not_look_is_told_so(
    kuadrant: Installation, platform_control_plane: ControlPlane
) -> None:
    stranger = platform_control_plane.kubeconfig("stranger", token=await kuadrant.service_token())

    code, checks = await verify(kuadrant, stranger, "--only=gateway")

    assert code == 1
    assert checks["gateway.class"]["status"] == "fail"
    assert "forbidden" in checks["gateway.class"]["detail"]
    assert checks["gateway.class"]["fix"].startswith("log in as somebody who may look at it")


async def test_a_cluster_that_does_not_answer_fails_once(
    kuadrant: Installation, platform_control_plane: ControlPlane, tmp_path: Path
) -> None:
    nowhere = tmp_path / "kubeconfig"
    config = json.loads(platform_control_plane.admin_kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    nowhere.write_text(json.dumps(config))

    code, checks = await verify(kuadrant, nowhere, "--only=cluster", "--only=rbac")

    assert code == 1
    assert [name for name, check in checks.items() if check["status"] == "fail"] == ["cluster.reachable"]
    assert {check["status"] for name, check in checks.items() if name != "cluster.reachable"} == {"skip"}
