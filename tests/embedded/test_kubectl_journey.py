"""kubectl, with the kubeconfig that is printed, shows what is true and changes it while everything runs."""

from __future__ import annotations

import json
import secrets
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.kubectl import Kubectl
from tests.maasctl import Up, chat
from tests.workspace import BASE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.embedded.conftest import Newcomer
    from tests.workspace import Caller

    Change = Callable[[Kubectl, int], Awaitable[str]]

# What the issue promises for a change to be in force.
PROMISED_SECONDS = 1
ALICE, BOB, CAROL = "sha256~alice", "sha256~bob", "sha256~carol"
MAPPING = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tier-to-group-mapping, namespace: maas}
data:
  mapping.yaml: |
    tiers:
      free:       {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: %d}}
      premium:    {groups: %s, rateLimit: {requestsPerMinute: 100}}
      enterprise: {groups: ["enterprise-users"],     rateLimit: {requestsPerMinute: 1000}}
"""
MODEL = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: %s, namespace: sample-models}
spec: {predictor: {model: {modelFormat: {name: simulator}}}}
"""
# All of it is changed for everybody: a test that changes it asks for `mapping_kubectl`.
NAME = ("configmap", "tier-to-group-mapping", "-n", "maas")


def mapping(limit: int = 10, premium: tuple[str, ...] = ("premium-users",)) -> str:
    return MAPPING % (limit, json.dumps(premium))


@pytest.fixture
def kubectl(platform: Up, tmp_path: Path) -> Kubectl:
    return Kubectl(platform.kubeconfig, tmp_path)


@pytest.fixture
async def holder(platform: Up, newcomer: Newcomer) -> Caller:
    """Someone with a new MaaS token."""
    return await platform.holder(newcomer.token)


@pytest.fixture
async def mapping_kubectl(kubectl: Kubectl, holder: Caller) -> AsyncIterator[Kubectl]:
    """kubectl that may change the mapping; afterwards the one that is shipped is in force again."""
    yield kubectl
    await kubectl.ok("replace", "-f", str(BASE / "tier-to-group-mapping.yaml"))

    async def back() -> bool:
        return await limit_of(holder) == "10"

    await eventually(back)


async def limit_of(holder: Caller) -> str:
    return (await chat(holder)).headers["x-ratelimit-limit"]


async def patched(kubectl: Kubectl, limit: int) -> str:
    tiers = {"free": {"groups": ["system:authenticated"], "rateLimit": {"requestsPerMinute": limit}}}
    patch = {"data": {"mapping.yaml": json.dumps({"tiers": tiers})}}
    return await kubectl.ok("patch", *NAME, "--type=merge", "-p", json.dumps(patch))


async def patched_strategically(kubectl: Kubectl, limit: int) -> str:
    tiers = (
        f"tiers: {{free: {{groups: ['system:authenticated'], rateLimit: {{requestsPerMinute: {limit}}}}}}}"
    )
    return await kubectl.ok("patch", *NAME, "-p", json.dumps({"data": {"mapping.yaml": tiers}}))


async def applied(kubectl: Kubectl, limit: int) -> str:
    return await kubectl.ok("apply", "-f", "-", stdin=mapping(limit))


async def applied_server_side(kubectl: Kubectl, limit: int) -> str:
    command = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    return await kubectl.ok(*command, stdin=mapping(limit))


async def edited(kubectl: Kubectl, limit: int) -> str:
    script = f"s/(free:.*requestsPerMinute: )[0-9]+/\\1{limit}/"
    return await kubectl.ok("edit", *NAME, editor=f"sed -i -E {shlex.quote(script)}")


async def replaced(kubectl: Kubectl, limit: int) -> str:
    return await kubectl.ok("replace", "-f", "-", stdin=mapping(limit))


@pytest.mark.parametrize(
    "change", [patched, patched_strategically, applied, applied_server_side, edited, replaced]
)
async def test_a_changed_limit_is_in_force_within_a_second(
    platform: Up, newcomer: Newcomer, holder: Caller, mapping_kubectl: Kubectl, change: Change
) -> None:
    while (await chat(holder)).status_code != 429:
        pass

    assert "tier-to-group-mapping" in await change(mapping_kubectl, 23)

    async def in_force() -> bool:
        return await limit_of(holder) == "23"

    await eventually(in_force, seconds=PROMISED_SECONDS)
    assert (await chat(holder)).status_code == 200
    tier = (await platform.person(newcomer.token).get("/maas-api/tier")).json()
    assert tier["limits"]["requestsPerMinute"] == 23


async def test_whoever_is_promoted_has_the_new_tier_with_the_token_they_have(
    platform: Up, newcomer: Newcomer, holder: Caller, mapping_kubectl: Kubectl
) -> None:
    assert (await chat(holder, "granite-7b")).status_code == 403

    promotion = mapping(premium=("premium-users", newcomer.group))
    await mapping_kubectl.ok("apply", "-f", "-", stdin=promotion)

    async def promoted() -> bool:
        response = await chat(holder, "granite-7b")
        return response.status_code == 200 and response.headers["x-ratelimit-limit"] == "100"

    await eventually(promoted, seconds=PROMISED_SECONDS)
    person = platform.person(newcomer.token)
    assert (await person.get("/maas-api/tier")).json()["tier"] == "premium"
    assert [token["tier"] for token in await person.listed()] == ["premium"]


async def test_a_mapping_that_cannot_be_read_leaves_the_last_good_one_in_force(
    platform: Up, holder: Caller, mapping_kubectl: Kubectl
) -> None:
    async def readiness() -> str:
        status: str = (await platform.client.get("/maas-api/readyz")).json()["status"]
        return status

    async def degraded() -> bool:
        return await readiness() == "degraded"

    broken = {"data": {"mapping.yaml": "tiers: {free: {groups: everyone}}"}}
    await mapping_kubectl.ok("patch", *NAME, "--type=merge", "-p", json.dumps(broken))
    await eventually(degraded)
    assert await limit_of(holder) == "10"

    async def recovered() -> bool:
        return await readiness() == "ok" and await limit_of(holder) == "23"

    await applied(mapping_kubectl, 23)
    await eventually(recovered)


async def test_service_accounts_show_the_tier_of_their_tokens(platform: Up, kubectl: Kubectl) -> None:
    issued = [await platform.person(token).issued() for token in (ALICE, BOB, CAROL)]

    lines = (await kubectl.ok("get", "sa", "-n", "maas", "-L", "tier")).splitlines()

    assert lines[0].split()[-1] == "TIER"
    tiers = {line.split()[0]: line.split()[-1] for line in lines[1:]}
    assert [tiers[token["id"]] for token in issued] == ["free", "premium", "enterprise"]


async def test_deleting_a_service_account_revokes_its_token_within_a_second(
    platform: Up, newcomer: Newcomer, kubectl: Kubectl
) -> None:
    person = platform.person(newcomer.token)
    laptop, phone = await person.issued(), await person.issued()
    first, second = platform.person(laptop["token"]), platform.person(phone["token"])
    assert (await chat(first)).status_code == 200

    await kubectl.ok("delete", "sa", laptop["id"], "-n", "maas")

    async def refused() -> bool:
        return (await chat(first)).status_code == 401

    await eventually(refused, seconds=PROMISED_SECONDS)
    assert [token["id"] for token in await person.listed()] == [phone["id"]]
    assert (await chat(second)).status_code == 200


async def test_a_new_model_can_be_called_and_a_deleted_one_cannot(holder: Caller, kubectl: Kubectl) -> None:
    name = f"llama-{secrets.token_hex(4)}"

    async def answers(status: int) -> bool:
        return (await chat(holder, name)).status_code == status

    async def listed() -> bool:
        return name in [model["id"] for model in (await holder.get("/v1/models")).json()["data"]]

    assert await answers(404)
    await kubectl.ok("apply", "-f", "-", stdin=MODEL % name)
    await eventually(lambda: answers(200), seconds=PROMISED_SECONDS)
    assert await listed()

    await kubectl.ok("delete", "-f", "-", stdin=MODEL % name)
    await eventually(lambda: answers(404), seconds=PROMISED_SECONDS)
    assert not await listed()
