"""Fills a folder with what a plan names, a few things at a time, and goes on past what it cannot have."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import yaml

from app.cli.kubectl import KubectlError, items
from app.cli.logs.plan import Log, Plan, note
from app.cli.logs.redaction import Redactor, redacted_object

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from app.cli.kubectl import Kubectl
    from app.cli.logs.folder import Folder

_AT_ONCE = 4
_BATCH_CHARACTERS = 64 * 1024
_LOG_SECONDS = 120.0


@dataclass(slots=True)
class Collected:
    """What has come together.

    Attributes:
        sizes: bytes of the log of each container that could be read.
        objects: how many objects there are of each namespace; the cluster's own are under an empty name.
        missing: what could not be had, and why.
    """

    sizes: dict[Log, int] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Collector:
    """Collects.

    Args:
        kubectl: reads.
        folder: where everything goes.
        since: how far back logs go, such as `1h`.
        max_bytes: the most of one container's log.
        mapping: name of the ConfigMap with the tier mapping.
        namespace: the platform's.
    """

    def __init__(
        self, kubectl: Kubectl, folder: Folder, *, since: str, max_bytes: int, mapping: str, namespace: str
    ) -> None:
        self._kubectl = kubectl
        self._folder = folder
        self._since = since
        self._max_bytes = max_bytes
        self._mapping = mapping
        self._namespace = namespace
        self.collected = Collected()

    async def collect(self, plan: Plan, *, began: Callable[[int], None], done: Callable[[], None]) -> None:
        """Collect all of it; `began` is told how much there is to do, `done` whenever one thing is.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.collected.missing += plan.missing
        jobs = list(self._jobs(plan))
        began(len(jobs))
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(what: str, job: Coroutine[Any, Any, None]) -> None:
            async with turns:
                try:
                    await job
                except (KubectlError, TimeoutError, ValueError) as error:
                    self.collected.missing.append(note(what, error))
            done()

        try:
            async with asyncio.TaskGroup() as group:
                for what, job in jobs:
                    group.create_task(one(what, job), name=f"collect {what}")
        except* OSError as errors:
            raise errors.exceptions[0] from None
        finally:
            for _, job in jobs:
                job.close()
        await asyncio.to_thread(self._write_missing)

    def _jobs(self, plan: Plan) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "versions", self._versions(plan)
        yield "objects of the cluster", self._all_objects("", plan.cluster_kinds)
        for namespace in plan.namespaces:
            yield f"objects of {namespace}", self._all_objects(namespace, ["events", *plan.kinds])
        if self._namespace in plan.namespaces:
            yield f"ConfigMap {self._mapping}", self._objects(self._namespace, "configmaps", self._mapping)
        for log in plan.logs:
            what = f"log of {log.namespace}/{log.pod}, {log.container}" + (
                " (previous)" if log.previous else ""
            )
            yield what, self._log(log)

    async def _log(self, log: Log) -> None:
        arguments = [
            "logs",
            f"--namespace={log.namespace}",
            f"--container={log.container}",
            "--timestamps",
            f"--since={self._since}",
            f"--limit-bytes={self._max_bytes}",
            *(["--previous"] if log.previous else []),
            log.pod,
        ]
        name = f"{log.container}.previous.log" if log.previous else f"{log.container}.log"
        redactor, batch, waiting = Redactor(), list[str](), 0
        with self._folder.file(log.namespace, log.pod, name) as file:

            def write(lines: list[str]) -> None:
                file.writelines(redactor.line(line) + "\n" for line in lines)

            try:
                async with asyncio.timeout(_LOG_SECONDS), self._kubectl.lines(*arguments) as lines:
                    async for line in lines:
                        batch.append(line)
                        waiting += len(line)
                        if waiting >= _BATCH_CHARACTERS:
                            await asyncio.to_thread(write, batch)
                            batch, waiting = [], 0
            except TimeoutError:
                raise TimeoutError(f"cut off after {_LOG_SECONDS:g} s") from None
            except ValueError:
                # The pipe's limit, which keeps a line from filling the memory.
                raise ValueError("a line is too long; the log ends before it") from None
            finally:
                await asyncio.to_thread(write, batch)
            self.collected.sizes[log] = file.tell()

    async def _all_objects(self, namespace: str, kinds: Sequence[str]) -> None:
        """All kinds in one call; where that fails, each on its own, so that the others are had."""
        if not kinds:
            return
        try:
            await self._objects(namespace, ",".join(kinds))
        except KubectlError:
            for kind in kinds:
                try:
                    await self._objects(namespace, kind)
                except KubectlError as error:
                    self.collected.missing.append(note(f"{kind} of {namespace or 'the cluster'}", error))

    async def _objects(self, namespace: str, kinds: str, *names: str) -> None:
        where = f"--namespace={namespace}" if namespace else "--all-namespaces"
        found = items(await self._kubectl.json("get", kinds, *names, where))
        of_kind: dict[str, list[dict[str, Any]]] = {}
        for each in found:
            of_kind.setdefault(each["kind"], []).append(each)
        for kind, objects in of_kind.items():
            await asyncio.to_thread(self._write_yaml, objects, namespace or "cluster", f"{kind}.yaml")
        self.collected.objects[namespace] = self.collected.objects.get(namespace, 0) + len(found)

    async def _versions(self, plan: Plan) -> None:
        content: dict[str, Any] = {"maasctl": version("privatemaas"), "images": plan.images}
        try:
            content["kubernetes"] = await self._kubectl.json("version")
        finally:
            await asyncio.to_thread(self._write_yaml, content, "versions.yaml")

    def _write_yaml(self, content: Any, *parts: str) -> None:
        with self._folder.file(*parts) as file:
            yaml.safe_dump(redacted_object(content), file, sort_keys=False, allow_unicode=True)

    def _write_missing(self) -> None:
        redactor = Redactor()
        with self._folder.file("missing.txt") as file:
            file.writelines(redactor.line(line) + "\n" for line in self.collected.missing)
