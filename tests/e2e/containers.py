"""A service of docker-compose.yml as a process: its command, its variables, its health check."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from tests.e2e.compose import compose
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_START_SECONDS = 30


class Container:
    """One of the services that run our images.

    Args:
        name: the service's name.
        translate: what stands in docker-compose.yml, and what it is on this machine.
        variables: further environment variables.
        log: where its output goes.
    """

    def __init__(
        self, name: str, translate: Mapping[str, str], *, log: Path, variables: Mapping[str, str]
    ) -> None:
        self._name = name
        self._service: dict[str, Any] = compose()["services"][name]
        self._translate = translate
        self._variables = variables
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until its health check says that it is healthy."""
        given = {name: self._here(value) for name, value in self._service.get("environment", {}).items()}
        subcommand, *arguments = self._service.get("command", ["serve"])
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", subcommand, *map(self._here, arguments)),
                env={"PATH": os.environ["PATH"], **given, **self._variables},
                stdout=log,
                stderr=log,
            )
        await eventually(self._healthy, seconds=_START_SECONDS)

    async def stop(self) -> None:
        """Stop it as Compose does; it ends by itself."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            assert await self._process.wait() == 0

    async def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        _, python, *arguments = self._service["healthcheck"]["test"]
        assert python == "python"
        check = await asyncio.create_subprocess_exec(
            sys.executable, *map(self._here, arguments), stderr=asyncio.subprocess.DEVNULL
        )
        return await check.wait() == 0

    def _here(self, text: str) -> str:
        known = "|".join(map(re.escape, self._translate))
        return re.sub(known, lambda found: self._translate[found[0]], text)
