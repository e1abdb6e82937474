from __future__ import annotations

import base64

import pytest

from app.embedded.kubernetes import Cluster, User
from app.embedded.kubernetes.selectors import parse_labels
from tests.unit.embedded.kubernetes.api import (
    API,
    CONFIG_MAPS,
    MODELS,
    SECRETS,
    SERVICE_ACCOUNTS,
    config_map,
    failure,
    model,
    names,
    service_account,
)


async def five(api: API) -> None:
    for name in "ebdca":
        await api.create(CONFIG_MAPS, config_map(name, labels={"letter": name}))


async def test_a_list_is_ordered_by_name_and_carries_the_resource_version_of_now(
    api: API, cluster: Cluster
) -> None:
    await five(api)
    answer = await api.get(CONFIG_MAPS)
    assert names(answer) == ["a", "b", "c", "d", "e"]
    assert answer.json()["kind"] == "ConfigMapList"
    assert answer.json()["metadata"] == {"resourceVersion": str(cluster.storage.version)}


async def test_the_items_of_builtin_lists_do_not_repeat_their_kind(api: API) -> None:
    await five(api)
    item = (await api.get(CONFIG_MAPS)).json()["items"][0]
    assert set(item) == {"metadata", "data"}
    await api.create(MODELS, model())
    assert (await api.get(MODELS)).json()["items"][0]["kind"] == "InferenceService"


async def test_a_list_of_all_namespaces_is_ordered_by_namespace_first(api: API) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "apps"}})
    await api.create("/api/v1/namespaces/apps/configmaps", config_map("z"))
    await api.create(CONFIG_MAPS, config_map("a"))
    assert names(await api.get("/api/v1/configmaps")) == ["z", "a"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("letter=a", "a"),
        ("letter == a", "a"),
        ("letter!=a", "bcdx"),
        ("letter in (a, c)", "ac"),
        ("letter notin (a,c)", "bdx"),
        ("letter", "abcd"),
        ("!letter", "x"),
        ("letter in (a,b),tier=free", "a"),
        ("tier,letter!=a", "b"),
        ("tier in (free,)", "a"),
        ("example.com/x", ""),
        ("letter in (a), tier", "a"),
        ("", "abcdx"),
    ],
)
async def test_labels_select(api: API, selector: str, found: str) -> None:
    for name, labels in (
        ("a", {"letter": "a", "tier": "free"}),
        ("b", {"letter": "b", "tier": "premium"}),
        ("c", {"letter": "c"}),
        ("d", {"letter": "d"}),
        ("x", {}),
    ):
        await api.create(CONFIG_MAPS, config_map(name, labels=labels))
    assert "".join(names(await api.get(CONFIG_MAPS, labelSelector=selector))) == found


@pytest.mark.parametrize("selector", ["=a", "a in (", "a in b", "a=b c", ",", "a=(", "a b"])
async def test_a_selector_that_does_not_parse_is_refused(api: API, selector: str) -> None:
    assert failure(await api.get(CONFIG_MAPS, labelSelector=selector))[:2] == (400, "BadRequest")


def test_a_long_selector_is_refused_quickly() -> None:
    with pytest.raises(Exception, match="unable to parse"):
        parse_labels("a" * 100_000 + " in (" + "b" * 100_000)


async def test_fields_select(api: API) -> None:
    await five(api)
    assert names(await api.get(CONFIG_MAPS, fieldSelector="metadata.name=b")) == ["b"]
    assert names(await api.get(CONFIG_MAPS, fieldSelector="metadata.name!=b,metadata.namespace==maas")) == [
        *"acde"
    ]
    await api.create(SECRETS, {"metadata": {"name": "s"}, "type": "example.com/x"})
    assert names(await api.get(SECRETS, fieldSelector="type=example.com/x")) == ["s"]
    assert names(await api.get("/api/v1/namespaces", fieldSelector="status.phase=Gone")) == []


async def test_a_field_that_is_no_field_selector_is_refused(api: API) -> None:
    message = '"data.mode" is not a known field selector: only "metadata.name", "metadata.namespace"'
    assert failure(await api.get(CONFIG_MAPS, fieldSelector="data.mode=a")) == (400, "BadRequest", message)
    message = "field label not supported: spec.x"
    assert failure(await api.get("/api/v1/events", fieldSelector="spec.x=a")) == (400, "BadRequest", message)
    message = "invalid selector: 'nonsense'; can't understand 'nonsense'"
    assert failure(await api.get(CONFIG_MAPS, fieldSelector="nonsense")) == (400, "BadRequest", message)


async def test_pages_show_the_moment_of_the_first_one(api: API) -> None:
    await five(api)
    first = await api.get(CONFIG_MAPS, limit="2")
    metadata = first.json()["metadata"]
    assert names(first) == ["a", "b"]
    assert metadata["remainingItemCount"] == 3
    await api.delete(f"{CONFIG_MAPS}/c")
    await api.patch(f"{CONFIG_MAPS}/d", {"data": {"mode": "later"}})
    await api.create(CONFIG_MAPS, config_map("bb"))
    second = await api.get(CONFIG_MAPS, **{"limit": "2", "continue": metadata["continue"]})
    assert names(second) == ["c", "d"]
    assert second.json()["items"][1]["data"] == {"mode": "a"}
    assert second.json()["metadata"]["resourceVersion"] == metadata["resourceVersion"]
    third = await api.get(CONFIG_MAPS, **{"limit": "2", "continue": second.json()["metadata"]["continue"]})
    assert names(third) == ["e"]
    assert "continue" not in third.json()["metadata"]
    assert names(await api.get(CONFIG_MAPS)) == ["a", "b", "bb", "d", "e"]


async def test_how_many_more_there_are_is_not_told_with_a_selector(api: API) -> None:
    await five(api)
    metadata = (await api.get(CONFIG_MAPS, limit="2", labelSelector="letter")).json()["metadata"]
    assert "continue" in metadata
    assert "remainingItemCount" not in metadata


async def test_a_page_of_a_forgotten_moment_is_gone_but_can_go_on_as_of_now(
    api: API, cluster: Cluster
) -> None:
    await five(api)
    page = (await api.get(CONFIG_MAPS, limit="2")).json()["metadata"]["continue"]
    await api.create(CONFIG_MAPS, config_map("bb"))
    cluster.faults.compact()
    gone = await api.get(CONFIG_MAPS, **{"continue": page})
    assert failure(gone)[:2] == (410, "Expired")
    rest = await api.get(CONFIG_MAPS, **{"continue": gone.json()["metadata"]["continue"]})
    assert names(rest) == ["bb", "c", "d", "e"]


@pytest.mark.parametrize("token", ["junk", "ey", base64.b64encode(b'{"rv":1}').decode()])
async def test_a_continue_token_of_somebody_else_is_refused(api: API, token: str) -> None:
    assert failure(await api.get(CONFIG_MAPS, **{"continue": token}))[:2] == (400, "BadRequest")


async def test_a_continued_list_takes_no_resource_version(api: API) -> None:
    await five(api)
    page = (await api.get(CONFIG_MAPS, limit="2")).json()["metadata"]["continue"]
    answer = await api.get(CONFIG_MAPS, **{"continue": page, "resourceVersion": "1"})
    assert failure(answer)[0] == 400


async def test_a_list_can_show_an_exact_earlier_moment(api: API, cluster: Cluster) -> None:
    await five(api)
    version = str(cluster.storage.version)
    await api.delete(f"{CONFIG_MAPS}/a")
    exact = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
    assert names(await api.get(CONFIG_MAPS, **exact)) == [*"abcde"]
    assert names(await api.get("/api/v1/configmaps", resourceVersion=version, limit="9")) == [*"abcde"]
    assert names(await api.get(CONFIG_MAPS, resourceVersion=version)) == [*"bcde"]
    cluster.faults.compact()
    answer = await api.get(CONFIG_MAPS, **exact)
    assert failure(answer) == (410, "Expired", "The resourceVersion for the provided list is too old.")


async def test_a_moment_yet_to_come_is_not_shown(api: API) -> None:
    await five(api)
    for path in (CONFIG_MAPS, f"{CONFIG_MAPS}/a"):
        answer = await api.get(path, resourceVersion="99999")
        assert failure(answer)[:2] == (504, "Timeout")
        assert answer.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert answer.headers["retry-after"] == "1"


async def test_options_that_make_no_sense_are_refused(api: API) -> None:
    for params, code in (
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Sometimes", "resourceVersion": "1"}, 422),
        ({"limit": "x"}, 400),
        ({"resourceVersion": "x"}, 400),
    ):
        assert (await api.get(CONFIG_MAPS, **params)).status_code == code, params
    assert (await api.get(CONFIG_MAPS, limit="-1")).status_code == 200


async def test_history_is_bounded_for_each_resource(api: API) -> None:
    cluster = Cluster(issuer="x", users={"admin": User("admin", ("system:masters",))}, history=2)
    for name in "abc":
        manifest = service_account(name, namespace="default")
        version = cluster.apply(manifest)["metadata"]["resourceVersion"]
    resource = cluster.catalogue.of_kind("v1", "ServiceAccount")
    assert [change.now.name for change in cluster.storage.changes(resource, int(version) - 2)] == ["b", "c"]
    with pytest.raises(Exception, match="compacted"):
        cluster.storage.changes(resource, 0)


async def test_a_list_of_service_accounts_of_one_tier_is_what_the_service_reads(api: API) -> None:
    await api.create(SERVICE_ACCOUNTS, service_account("a", labels={"tier": "free"}))
    await api.create(SERVICE_ACCOUNTS, service_account("b", labels={"tier": "premium"}))
    assert names(await api.get("/api/v1/serviceaccounts", labelSelector="tier=premium")) == ["b"]
