"""What the service writes into the policies is what the real Envoy Gateway and Envoy limit by.

Standalone, Envoy Gateway reads files; a test carries the policies there from the cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.clusters import LIMITS
from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import chat
from tests.policies import OTHERS, numbers_of
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.e2e.envoy_gateway.platform import Platform

pytestmark = PATIENT

NAMES = ("maas-inference", "maas-models")
(TRAFFIC,) = (resource for resource in LIMITS if resource.kind == "BackendTrafficPolicy")


def map_tiers(gateway: Platform, **tiers: int) -> None:
    mapping = {
        name: {"groups": [f"{name}-users"], "level": level, "rateLimit": {"requestsPerMinute": number}}
        for level, (name, number) in enumerate(tiers.items())
    }
    gateway.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "tier-to-group-mapping", "namespace": "maas"},
            "data": {"mapping.yaml": yaml.safe_dump({"tiers": mapping})},
        }
    )


def policy(gateway: Platform, name: str) -> dict[str, Any]:
    return gateway.cluster.objects.get(TRAFFIC, "maas", name).object


async def carried_over(gateway: Platform, expected: dict[str, int]) -> None:
    """Wait until the cluster's policies have these numbers, and give them to Envoy Gateway."""
    await eventually(
        lambda: all(numbers_of(policy(gateway, name)["spec"]) == expected for name in NAMES), seconds=20
    )
    path = gateway.directory / "resources" / "resources.yaml"
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        if document["kind"] == TRAFFIC.kind and document["metadata"]["name"] in NAMES:
            document["spec"] = policy(gateway, document["metadata"]["name"])["spec"]
    made = gateway.directory / "resources.yaml"
    made.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    made.replace(path)


async def limited_to(gateway: Platform, group: str, number: int) -> None:
    """Wait until each newcomer of a group may list models so many times in a row, and no more."""

    async def so() -> bool:
        holder = await gateway.holder(group)
        statuses = [(await holder.get("/v1/models")).status_code for _ in range(number + 1)]
        return statuses == [200] * number + [429]

    await eventually(so, seconds=30)


async def test_envoy_limits_by_the_mapping_that_was_changed(gateway: Platform) -> None:
    map_tiers(gateway, free=4, premium=6)
    await carried_over(gateway, {"free": 4, "premium": 6, OTHERS: 4})
    await limited_to(gateway, "premium-users", 6)
    await limited_to(gateway, "free-users", 4)
    # A spent limit on the list leaves the one on inference alone.
    holder = await gateway.holder("free-users")
    listed = [(await holder.get("/v1/models")).status_code for _ in range(5)]
    assert listed == [200, 200, 200, 200, 429]
    assert [(await chat(holder)).status_code for _ in range(5)] == [200, 200, 200, 200, 429]


async def test_as_many_tiers_as_there_is_room_for_are_accepted_and_the_lowest_share_a_limit(
    gateway: Platform,
) -> None:
    tiers = {f"tier{number}": number for number in range(2, 19)}
    map_tiers(gateway, **tiers)
    kept = {name: number for name, number in tiers.items() if number > 3}
    await carried_over(gateway, {**kept, OTHERS: 2})
    await limited_to(gateway, "tier18-users", 18)
    await limited_to(gateway, "tier4-users", 4)
    holders = [await gateway.holder("tier3-users") for _ in range(4)]
    assert 429 in [(await holder.get("/v1/models")).status_code for holder in holders]
