"""A real Prometheus for tests, on a free port with its data in a directory of the test's."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml

from tests.control_plane.binaries import BUILT
from tests.control_plane.process import Process
from tests.loopback import free_port
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START_SECONDS = 30


@dataclass(frozen=True)
class Sample:
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


def missing_prometheus() -> str | None:
    """Why tests with Prometheus cannot run here, or None if they can."""
    if all(_program(name) for name in ("prometheus", "promtool")):
        return None
    return "there is no prometheus or promtool: run `make tools`, or install Prometheus"


async def promtool(*arguments: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Run promtool; returns its exit code and everything that it wrote."""
    process = await asyncio.create_subprocess_exec(
        str(_program("promtool")),
        *map(str, arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


class Prometheus:
    """The server; `async with` starts and ends it.

    Args:
        directory: for its configuration, its log and its data; blocks that `promtool tsdb create-blocks-from
            openmetrics FILE DIRECTORY/data` has written there are served.
        scrape_configs: whom it scrapes, as in its configuration file.
        rule_files: its rules.
        seconds: how often it scrapes and evaluates rules.
        port: where it listens; None for any free one.

    Attributes:
        url: where it listens.
    """

    def __init__(
        self,
        directory: Path,
        *,
        scrape_configs: Sequence[Mapping[str, Any]] = (),
        rule_files: Sequence[Path] = (),
        seconds: float = 0.5,
        port: int | None = None,
    ) -> None:
        port = port or free_port()
        every = f"{int(seconds * 1000)}ms"
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.AsyncClient(base_url=self.url, timeout=30)
        directory.mkdir(parents=True, exist_ok=True)
        configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": [dict(each) for each in scrape_configs],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._process = Process(
            Path(_program("prometheus") or "prometheus"),
            [
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                # Blocks of made-up times are kept whenever they are from.
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            log=directory / "prometheus.log",
        )

    async def __aenter__(self) -> Self:
        await self._process.start(self._client, "/-/ready", within_seconds=_START_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.kill()
        await self._client.aclose()

    async def query(self, promql: str, *, at: float | None = None) -> list[Sample]:
        """The answer to an instant query, at a time in seconds since the epoch.

        Raises:
            AssertionError: Prometheus refused the query; the message is its own.
        """
        result = await self._ask("query", {"query": promql} | ({} if at is None else {"time": str(at)}))
        if result["resultType"] == "scalar":
            return [Sample({}, float(result["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in result["result"]]

    async def query_range(
        self, promql: str, *, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The answer to a range query: labels and points (seconds since the epoch, value) of each series."""
        times = {"start": str(start), "end": str(end), "step": str(step)}
        result = await self._ask("query_range", {"query": promql} | times)
        return [
            (each["metric"], [(float(at), float(value)) for at, value in each["values"]])
            for each in result["result"]
        ]

    async def label_values(self, selector: str, label: str) -> list[str]:
        """The values that a label has in the series of a selector."""
        values: list[str] = await self._ask(f"label/{label}/values", {"match[]": selector})
        return values

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, as Prometheus tells of it."""
        data = await self._ask("rules", {})
        return [rule for group in data["groups"] for rule in group["rules"]]

    async def scraped(self, *, within_seconds: float = 30) -> None:
        """Wait until every target has been scraped once more, from its beginning."""
        before = await self._scrapes()

        async def again() -> bool:
            scrapes = await self._scrapes()
            # A scrape that was under way when this was asked for may have seen what was before it.
            return bool(scrapes) and all(
                health == "up" and count >= before.get(target, ("", 0.0))[1] + 2
                for target, (health, count) in scrapes.items()
            )

        await eventually(again, seconds=within_seconds)

    async def _scrapes(self) -> dict[str, tuple[str, float]]:
        """Of each target its health and how many of its scrapes are stored."""
        targets = (await self._ask("targets", {"state": "active"}))["activeTargets"]
        counts = {
            (sample.labels.get("job", ""), sample.labels.get("instance", "")): sample.value
            for sample in await self.query("count_over_time(up[1h])")
        }
        return {
            target["scrapeUrl"]: (
                target["health"],
                counts.get((target["labels"]["job"], target["labels"]["instance"]), 0.0),
            )
            for target in targets
        }

    async def _ask(self, what: str, parameters: Mapping[str, str]) -> Any:
        answer = await self._client.get(f"/api/v1/{what}", params=dict(parameters))
        body = answer.json()
        assert body["status"] == "success", f"{parameters.get('query', what)}: {body.get('error')}"
        return body["data"]


def _program(name: str) -> str | None:
    built = BUILT / name
    return str(built) if os.access(built, os.X_OK) else shutil.which(name)
