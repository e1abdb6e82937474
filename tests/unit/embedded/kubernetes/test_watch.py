from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.embedded.kubernetes import Cluster, User
from tests.unit.embedded.kubernetes.api import CONFIG_MAPS, TABLE, config_map, failure
from tests.unit.embedded.kubernetes.streams import watching

if TYPE_CHECKING:
    from tests.unit.embedded.kubernetes.api import API

ALL = "/api/v1/configmaps"


async def version(api: API) -> str:
    found: str = (await api.get(CONFIG_MAPS)).json()["metadata"]["resourceVersion"]
    return found


async def test_a_watch_tells_what_happens_after_a_resource_version(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("before"))
    since = await version(api)
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(cluster, CONFIG_MAPS, resourceVersion=since) as stream:
        assert await stream.seen() == ("ADDED", "a")
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"mode": "b"}})
        assert await stream.seen() == ("MODIFIED", "a")
        gone = await api.delete(f"{CONFIG_MAPS}/a")
        last = await stream.event()
        assert gone.status_code == 200
        assert last["type"] == "DELETED"
        assert last["object"]["kind"] == "ConfigMap"
        assert last["object"]["metadata"]["resourceVersion"] == str(cluster.storage.version)


async def test_a_watch_without_a_resource_version_begins_with_what_there_is(
    api: API, cluster: Cluster
) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    for since in ({}, {"resourceVersion": ""}, {"resourceVersion": "0"}):
        async with watching(cluster, CONFIG_MAPS, **since) as stream:
            assert await stream.seen() == ("ADDED", "a")
            await api.patch(f"{CONFIG_MAPS}/a", {"data": {"mode": str(since)}})
            assert await stream.seen() == ("MODIFIED", "a")


async def test_a_watch_sees_its_namespace_only(api: API, cluster: Cluster) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "apps"}})
    async with watching(cluster, CONFIG_MAPS) as here, watching(cluster, ALL) as everywhere:
        await api.create("/api/v1/namespaces/apps/configmaps", config_map("there"))
        await api.create(CONFIG_MAPS, config_map("here"))
        assert await here.seen() == ("ADDED", "here")
        assert await everywhere.seen() == ("ADDED", "there")
        assert await everywhere.seen() == ("ADDED", "here")


async def test_objects_enter_and_leave_the_view_of_a_selector(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a", labels={"tier": "free"}))
    async with watching(cluster, CONFIG_MAPS, labelSelector="tier=free") as stream:
        assert await stream.seen() == ("ADDED", "a")
        await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"tier": "premium"}}})
        left = await stream.event()
        assert left["type"] == "DELETED"
        assert left["object"]["metadata"]["labels"] == {"tier": "free"}
        assert left["object"]["metadata"]["resourceVersion"] == str(cluster.storage.version)
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"mode": "unseen"}})
        await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"tier": "free"}}})
        assert await stream.seen() == ("ADDED", "a")
        await api.delete(f"{CONFIG_MAPS}/a")
        assert await stream.seen() == ("DELETED", "a")


async def test_one_object_is_watched_by_its_name(api: API, cluster: Cluster) -> None:
    async with watching(cluster, CONFIG_MAPS, fieldSelector="metadata.name=b") as stream:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.create(CONFIG_MAPS, config_map("b"))
        assert await stream.seen() == ("ADDED", "b")


async def test_a_watch_ends_in_time_with_a_bookmark(api: API, cluster: Cluster) -> None:
    since = await version(api)
    path = {"resourceVersion": since, "timeoutSeconds": "1"}
    async with (
        watching(cluster, CONFIG_MAPS, allowWatchBookmarks="true", **path) as marked,
        watching(cluster, CONFIG_MAPS, **path) as plain,
    ):
        assert await marked.rest() == [
            {
                "type": "BOOKMARK",
                "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": since}},
            }
        ]
        assert marked.finished_properly
        assert await plain.rest() == []


async def test_bookmarks_come_again_and_again(cluster: Cluster) -> None:
    cluster.bookmark_seconds = 0.01
    async with watching(cluster, CONFIG_MAPS, allowWatchBookmarks="1") as stream:
        for _ in range(3):
            assert (await stream.event())["type"] == "BOOKMARK"


async def test_a_watch_list_says_when_the_initial_events_end(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(
        cluster,
        CONFIG_MAPS,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        resourceVersion="1",
        allowWatchBookmarks="true",
    ) as stream:
        assert await stream.seen() == ("ADDED", "a")
        end = await stream.event()
        assert end["type"] == "BOOKMARK"
        assert end["object"]["metadata"] == {
            "resourceVersion": str(cluster.storage.version),
            "annotations": {"k8s.io/initial-events-end": "true"},
        }


async def test_options_of_a_watch_list_that_make_no_sense_are_refused(api: API) -> None:
    for params in ({"sendInitialEvents": "true"}, {"resourceVersionMatch": "Exact", "resourceVersion": "1"}):
        answer = await api.get(CONFIG_MAPS, watch="true", **params)
        assert failure(answer)[:2] == (422, "Invalid")
    assert failure(await api.get(CONFIG_MAPS, watch="true", resourceVersion="x"))[0] == 400


async def test_a_watch_from_a_forgotten_version_gets_gone_in_the_stream(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    cluster.faults.compact()
    async with watching(cluster, CONFIG_MAPS, resourceVersion="1") as stream:
        (event,) = await stream.rest()
        assert stream.status == 200
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410
    assert event["object"]["reason"] == "Expired"
    assert event["object"]["message"] == f"too old resource version: 1 ({cluster.storage.version})"


async def test_a_watch_from_a_forgotten_version_can_get_gone_as_its_status(
    api: API, cluster: Cluster
) -> None:
    cluster.faults.compact()
    cluster.faults.gone_as_status = True
    answer = await api.get(CONFIG_MAPS, watch="true", resourceVersion="1", timeoutSeconds="1")
    assert failure(answer)[:2] == (410, "Expired")
    async with watching(cluster, CONFIG_MAPS, resourceVersion=str(cluster.storage.version)) as stream:
        await api.create(CONFIG_MAPS, config_map("a"))
        assert await stream.seen() == ("ADDED", "a")
    async with watching(cluster, CONFIG_MAPS) as stream:
        assert await stream.seen() == ("ADDED", "a")


async def test_a_watch_that_falls_behind_the_history_is_ended(cluster: Cluster) -> None:
    small = Cluster(issuer="x", users={"admin": User("admin", ("system:masters",))}, history=1)
    path = "/api/v1/namespaces/default/configmaps"
    async with watching(small, path) as stream:
        small.apply(config_map("first"))
        assert await stream.seen() == ("ADDED", "first")
        for name in "ab":
            small.apply(config_map(name))
        (event,) = await stream.rest()
        assert event["object"]["code"] == 410


async def test_dropped_watches_end_at_once_and_new_ones_work(api: API, cluster: Cluster) -> None:
    async with watching(cluster, CONFIG_MAPS) as stream:
        await api.create(CONFIG_MAPS, config_map("a"))
        assert await stream.seen() == ("ADDED", "a")
        cluster.faults.drop_watches()
        assert await stream.rest() == []
        assert stream.finished_properly
    async with watching(cluster, CONFIG_MAPS) as stream:
        assert await stream.seen() == ("ADDED", "a")


async def test_cut_watches_break_off_in_the_middle(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(cluster, CONFIG_MAPS) as stream:
        assert await stream.seen() == ("ADDED", "a")
        cluster.faults.drop_watches(cut=True)
        await asyncio.wait_for(stream.ended.wait(), 5)
        assert not stream.finished_properly


async def test_frozen_watches_are_silent_until_they_thaw(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    cluster.bookmark_seconds = 0.01
    async with watching(cluster, CONFIG_MAPS) as stream, watching(cluster, "/api/v1/namespaces") as other:
        assert await stream.seen() == ("ADDED", "a")
        await other.event()
        cluster.faults.freeze_watches()
        await api.create(CONFIG_MAPS, config_map("b"))
        async with watching(
            cluster, CONFIG_MAPS, timeoutSeconds="1", allowWatchBookmarks="1", resourceVersion="1"
        ) as silent:
            assert await silent.rest() == []
        assert stream.quiet
        cluster.faults.clear()
        assert await stream.seen() == ("ADDED", "b")


async def test_a_client_that_goes_away_leaves_nothing_behind(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(cluster, CONFIG_MAPS) as stream:
        await stream.event()
        assert cluster.storage.listeners() == 1
        tasks = len(asyncio.all_tasks())
        stream.hang_up()
        await asyncio.wait_for(stream.ended.wait(), 5)
    assert cluster.storage.listeners() == 0
    assert len(asyncio.all_tasks()) < tasks


async def test_a_closed_cluster_ends_its_watches_and_new_ones(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(cluster, CONFIG_MAPS) as stream:
        await stream.event()
        cluster.close()
        assert await stream.rest() == []
    since = str(cluster.storage.version)
    async with watching(cluster, CONFIG_MAPS, resourceVersion=since) as stream:
        assert await stream.rest() == []


async def test_a_watch_can_show_tables_and_metadata(api: API, cluster: Cluster) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with watching(cluster, CONFIG_MAPS, accept=TABLE) as stream:
        event = await stream.event()
        assert event["object"]["kind"] == "Table"
        assert event["object"]["rows"][0]["cells"][:2] == ["a", 1]
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with watching(cluster, CONFIG_MAPS, accept=partial) as stream:
        event = await stream.event()
        assert event["object"]["kind"] == "PartialObjectMetadata"
        assert event["object"]["metadata"]["name"] == "a"
