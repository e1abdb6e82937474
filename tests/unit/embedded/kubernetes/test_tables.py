from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.embedded.kubernetes.tables import human_duration
from tests.unit.embedded.kubernetes.api import (
    CONFIG_MAPS,
    GROUPS,
    LEASES,
    MODELS,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    TABLE,
    config_map,
    model,
    service_account,
)

if TYPE_CHECKING:
    from app.embedded.kubernetes import Cluster
    from tests.unit.embedded.kubernetes.api import API
    from tests.unit.embedded.kubernetes.conftest import Clock

PARTIAL = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"


async def rows(api: API, path: str) -> tuple[list[str], list[list[Any]]]:
    table = (await api.show(path, TABLE)).json()
    assert table["kind"] == "Table"
    return [each["name"] for each in table["columnDefinitions"]], [each["cells"] for each in table["rows"]]


async def test_each_kind_has_its_columns(api: API, cluster: Cluster, clock: Clock) -> None:
    status = {"url": "http://m", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.apply({**model(status=status), "metadata": {"name": "m", "namespace": "maas"}})
    await api.create(MODELS, model("pending"))
    await api.create(SERVICE_ACCOUNTS, {**service_account(), "secrets": [{"name": "a"}]})
    await api.create(CONFIG_MAPS, {**config_map(), "binaryData": {"b": "YQ=="}})
    await api.create(SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    await api.create(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    group = {"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": "g"}}
    await api.create(GROUPS, {**group, "users": ["a", "b"]})
    clock.now += 90
    assert await rows(api, SERVICE_ACCOUNTS) == (["Name", "Secrets", "Age"], [["one", 1, "90s"]])
    assert await rows(api, CONFIG_MAPS) == (["Name", "Data", "Age"], [["settings", 2, "90s"]])
    assert await rows(api, SECRETS) == (["Name", "Type", "Data", "Age"], [["s", "Opaque", 1, "90s"]])
    assert await rows(api, LEASES) == (["Name", "Holder", "Age"], [["l", "me", "90s"]])
    assert await rows(api, GROUPS) == (["Name", "Users", "Age"], [["g", "a, b", "90s"]])
    assert await rows(api, MODELS) == (
        ["Name", "URL", "Ready", "Age"],
        [["m", "http://m", "True", "90s"], ["pending", None, None, "90s"]],
    )
    assert await rows(api, "/api/v1/namespaces/maas") == (
        ["Name", "Status", "Age"],
        [["maas", "Active", "90s"]],
    )
    assert await rows(api, f"{RBAC}/clusterroles/view") == (
        ["Name", "Created At"],
        [["view", "2023-11-14T22:13:20Z"]],
    )
    assert (await rows(api, f"{RBAC}/clusterrolebindings/cluster-admin"))[1] == [
        ["cluster-admin", "ClusterRole/cluster-admin", "90s"]
    ]


async def test_an_event_without_a_time_has_an_unknown_age(api: API) -> None:
    await api.create("/api/v1/namespaces/maas/events", {"metadata": {"name": "e"}, "reason": "Seen"})
    assert (await rows(api, "/api/v1/events"))[1] == [["e", "<unknown>", None, "Seen", None]]


async def test_rows_carry_as_much_of_the_object_as_was_asked_for(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    for include, kind in (
        ("Object", "ConfigMap"),
        ("Metadata", "PartialObjectMetadata"),
        ("", "PartialObjectMetadata"),
    ):
        table = (await api.show(CONFIG_MAPS, TABLE, includeObject=include)).json()
        assert table["rows"][0]["object"]["kind"] == kind
    table = (await api.show(CONFIG_MAPS, TABLE, includeObject="None")).json()
    assert "object" not in table["rows"][0]


async def test_metadata_alone_can_be_asked_for(api: API) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    one = (await api.show(f"{CONFIG_MAPS}/settings", PARTIAL.format(""))).json()
    assert one["metadata"] == created["metadata"]
    assert "data" not in one
    several = (await api.show(CONFIG_MAPS, PARTIAL.format("List"))).json()
    assert several["kind"] == "PartialObjectMetadataList"
    assert [each["metadata"]["name"] for each in several["items"]] == ["settings"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (3600, "60m"),
        (4 * 3600 + 120, "4h2m"),
        (30 * 3600, "30h"),
        (3 * 86400 + 7200, "3d2h"),
        (100 * 86400, "100d"),
        (3 * 365 * 86400 + 86400, "3y1d"),
        (10 * 365 * 86400, "10y"),
    ],
)
def test_ages_are_told_as_kubectl_tells_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
