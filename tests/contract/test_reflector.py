"""List and watch, with everything that a watch goes through."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from app.kube.backoff import Backoff
from app.kube.errors import KubeError
from app.kube.forms import METADATA
from app.kube.reflector import Listing, Reflector
from app.kube.resources import CONFIG_MAPS, Resource
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.kube.client import JsonObject, KubeClient
    from tests.clusters import TestCluster
    from tests.workspace import Workspace


class Names:
    """A sink that keeps the names of objects and their `data`."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.fields: set[str] = set()
        self.lists = 0

    def decode(self, obj: JsonObject) -> tuple[str, Any]:
        self.fields |= obj.keys() | obj["metadata"].keys()
        return obj["metadata"]["name"], obj.get("data")

    def replace(self, items: Sequence[tuple[str, Any]], resource_version: int) -> None:
        assert resource_version >= 0
        self.data = dict(items)
        self.lists += 1

    def put(self, item: tuple[str, Any]) -> None:
        self.data[item[0]] = item[1]

    def remove(self, obj: JsonObject) -> None:
        self.data.pop(obj["metadata"]["name"], None)


class Watched:
    """A running reflector over the ConfigMaps of a workspace that carry the label `watched`."""

    def __init__(self, workspace: Workspace, client: KubeClient, **options: Any) -> None:
        self.workspace = workspace
        self.names = Names()
        self.events: list[str] = []
        self.reflector: Reflector[Any] = Reflector(
            client,
            options.pop("resource", CONFIG_MAPS),
            self.names,
            backoff=Backoff(random.Random(1), first=0.02, most=0.2),  # noqa: S311  # spreads retries
            clock=time.monotonic,
            observe=lambda _, event: self.events.append(event),
            namespace=workspace.namespace,
            selectors={"labelSelector": "watched=yes"},
            **options,
        )

    async def put(self, name: str, value: str = "") -> None:
        metadata = {"name": name, "labels": {"watched": "yes"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}
        await self.workspace.cluster.admin.create(CONFIG_MAPS, body, namespace=self.workspace.namespace)

    async def patch(self, name: str, patch: dict[str, Any]) -> None:
        await self.workspace.cluster.admin.merge_patch(
            CONFIG_MAPS, name, patch, namespace=self.workspace.namespace
        )

    async def delete(self, name: str) -> None:
        await self.workspace.cluster.admin.delete(CONFIG_MAPS, name, namespace=self.workspace.namespace)

    async def sees(self, *names: str, seconds: float = 5) -> None:
        await eventually(lambda: set(self.names.data) == set(names), seconds=seconds)


@asynccontextmanager
async def watching(workspace: Workspace, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(workspace, workspace.cluster.admin, **options)
    task = asyncio.create_task(watched.reflector.run())
    try:
        async with asyncio.timeout(10):
            await watched.reflector.wait_synced()
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_there_is_listed_and_what_changes_is_seen(workspace: Workspace) -> None:
    async with watching(workspace) as watched:
        await watched.put("one", "a")
        await watched.put("two", "b")
        await watched.sees("one", "two", seconds=1)
        await watched.patch("one", {"data": {"value": "c"}})
        await eventually(lambda: watched.names.data["one"] == {"value": "c"}, seconds=1)
        await watched.delete("two")
        await watched.sees("one", seconds=1)
        assert watched.names.lists == 1


async def test_lists_come_in_pages(workspace: Workspace) -> None:
    async with watching(workspace) as first:
        for number in range(7):
            await first.put(f"map-{number}")
    async with watching(workspace, listing=Listing(page_size=3)) as watched:
        assert len(watched.names.data) == 7
        assert watched.names.lists == 1


async def test_of_metadata_alone_nothing_else_is_read_in_lists_and_watches(
    cluster: TestCluster, workspace: Workspace
) -> None:
    async with watching(workspace) as first:
        await first.put("one", "a")
    async with watching(workspace, listing=Listing(form=METADATA), watch_seconds=1) as watched:
        await watched.sees("one")
        await watched.put("two", "b")
        await watched.patch("one", {"metadata": {"annotations": {"changed": "yes"}}})
        await watched.sees("one", "two")
        await eventually(lambda: "annotations" in watched.names.fields)
        assert watched.names.fields == {
            *("metadata", "name", "namespace", "uid", "resourceVersion", "creationTimestamp"),
            *("labels", "annotations"),
        }
        await watched.delete("one")
        await watched.sees("two")
        # Bookmarks and the end of a watch are read too.
        await eventually(lambda: watched.events.count("watch") >= 3, seconds=10)
        assert watched.names.lists == 1
        await cluster.forget_history()
        await eventually(lambda: watched.names.lists == 2, seconds=30)
        assert watched.names.data.keys() == {"two"}


async def test_the_api_server_sends_only_metadata_if_that_is_all_that_is_asked_for(
    workspace: Workspace,
) -> None:
    """What is left out is not only passed over: it is not sent."""
    async with watching(workspace) as first:
        await first.put("one", "a")
    admin, namespace = workspace.cluster.admin, workspace.namespace
    partial = replace(METADATA, read=orjson.loads, read_page=orjson.loads, read_event=orjson.loads)
    page = await admin.list(CONFIG_MAPS, namespace=namespace, form=partial)
    one = next(item for item in page["items"] if item["metadata"]["name"] == "one")
    assert page["kind"] == "PartialObjectMetadataList"
    assert "data" not in one
    assert "data" not in await admin.get(CONFIG_MAPS, "one", namespace=namespace, form=partial)
    query = {"resourceVersion": "0", "fieldSelector": "metadata.name=one"}
    async with admin.watch(
        CONFIG_MAPS, query, namespace=namespace, silence_seconds=10, form=partial
    ) as events:
        event = await anext(events)
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in event["object"]


async def test_what_stops_matching_the_selector_is_gone_and_what_starts_is_there(
    workspace: Workspace,
) -> None:
    async with watching(workspace) as watched:
        await watched.put("one")
        await watched.sees("one")
        await watched.patch("one", {"metadata": {"labels": {"watched": "no"}}})
        await watched.sees()
        await watched.patch("one", {"metadata": {"labels": {"watched": "yes"}}})
        await watched.sees("one")


async def test_a_watch_that_ends_goes_on_without_a_new_list(workspace: Workspace) -> None:
    async with watching(workspace, watch_seconds=1) as watched:
        await eventually(lambda: watched.events.count("watch") >= 3, seconds=10)
        await watched.put("one")
        await watched.sees("one")
        assert watched.names.lists == 1


async def test_history_that_is_gone_means_a_new_list(cluster: TestCluster, workspace: Workspace) -> None:
    async with watching(workspace) as watched:
        await watched.put("one")
        await watched.sees("one")
        await cluster.forget_history()
        await eventually(lambda: _reachable(workspace), seconds=20)
        await watched.put("two")
        await watched.sees("one", "two", seconds=20)
        assert watched.names.lists > 1
        await watched.delete("one")
        await watched.sees("two", seconds=20)


async def _reachable(workspace: Workspace) -> bool:
    try:
        await workspace.cluster.admin.list(CONFIG_MAPS, namespace=workspace.namespace)
    except KubeError:
        return False
    return True


async def test_what_is_in_memory_stays_while_the_cluster_is_away(
    cluster: TestCluster, workspace: Workspace
) -> None:
    async with watching(workspace) as watched:
        await watched.put("one")
        await watched.sees("one")
        await cluster.pause()
        await eventually(lambda: "error" in watched.events)
        before = watched.reflector.age()
        assert set(watched.names.data) == {"one"}
        await eventually(lambda: watched.reflector.age() > before)
        await cluster.resume()
        await eventually(lambda: _reachable(workspace), seconds=20)
        await watched.put("two")
        await watched.sees("one", "two", seconds=20)


async def test_a_cluster_that_falls_silent_is_given_up_and_found_again(
    cluster: TestCluster, workspace: Workspace
) -> None:
    async with watching(workspace, watch_seconds=1, silence_margin_seconds=0.5) as watched:
        await watched.put("one")
        await watched.sees("one")
        await cluster.fall_silent()
        try:
            await eventually(lambda: "error" in watched.events, seconds=10)
            assert not watched.reflector.connected
            assert set(watched.names.data) == {"one"}
        finally:
            await cluster.speak()
        await eventually(lambda: _reachable(workspace), seconds=20)
        await watched.put("two")
        await watched.sees("one", "two", seconds=20)
        assert watched.reflector.connected


async def test_a_resource_that_the_cluster_does_not_serve_is_absent_and_not_an_error(
    workspace: Workspace,
) -> None:
    resource = Resource("nowhere.example.com/v1", "nothings")
    async with watching(workspace, resource=resource, absent_seconds=0.05) as watched:
        assert watched.reflector.absent
        assert watched.reflector.synced
        await eventually(lambda: watched.events.count("list") > 2)
        assert watched.events.count("absent") == 1
