"""Programs of a benchmark: each a process of its own that cannot outlive this one, seen from outside."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from app.embedded.gateway import tether

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

_POLL_SECONDS = 0.01
_STOP_SECONDS = 10
_END_OF_LOG = 3000


class ProgramError(Exception):
    """A program did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Program:
    """A running program.

    Attributes:
        pid: its process.
        log: where its output goes.
    """

    pid: int
    log: Path

    def memory(self) -> float:
        """Resident memory of it and all that it has started, in MB (10^6 bytes)."""
        return sum(_status(pid, "VmRSS") for pid in _family(self.pid))

    def peak_memory(self) -> float:
        """The most resident memory that the program itself ever had, in MB (10^6 bytes)."""
        return _status(self.pid, "VmHWM")

    def processor(self) -> float:
        """Processor seconds that the program itself has used, whatever else the machine did."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def program(
    command: Sequence[str],
    *,
    log: Path,
    ready: str,
    variables: Mapping[str, str] | None = None,
    is_ready: Callable[[int, bytes], bool] = lambda status, _: status < 400,  # noqa: PLR2004  # no error
    within_seconds: float = 60,
) -> AsyncIterator[Program]:
    """Run a program, once it is ready, for as long as the context lasts.

    Args:
        command: the program, by its path, and its arguments.
        log: where its output goes.
        ready: a URL that answers when it is ready.
        variables: environment variables beside those of this process.
        is_ready: whether this status with this body says so.
        within_seconds: how long it may take until then.

    Raises:
        ProgramError: it ended, or was not ready in time.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *command),
            env={**os.environ, **(variables or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for this process, which then ends the program in its turn.
            start_new_session=True,
        )
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            try:
                async with asyncio.timeout(within_seconds):
                    while not await _answers(session, ready, is_ready):
                        if process.returncode is not None:
                            raise _failure(command, f"ended with {process.returncode}", log)
                        await asyncio.sleep(_POLL_SECONDS)
            except TimeoutError:
                raise _failure(command, f"was not ready in {within_seconds:g} s", log) from None
        yield Program(process.pid, log)
    finally:
        await _end(process)


async def _answers(session: aiohttp.ClientSession, url: str, is_ready: Callable[[int, bytes], bool]) -> bool:
    try:
        async with session.get(url) as response:
            return is_ready(response.status, await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
    if process.returncode is None:
        process.kill()
    await process.wait()


def _failure(command: Sequence[str], what: str, log: Path) -> ProgramError:
    end = log.read_bytes()[-_END_OF_LOG:].decode(errors="replace")
    return ProgramError(f"{' '.join(command[:4])} … {what}; its log ends:\n{end}")


def _status(pid: int, key: str) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found.group(1)) * 1024 / 1e6 if found else 0.0


def _family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, thread.read_text().split())
    return found
