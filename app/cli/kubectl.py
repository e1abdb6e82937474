"""The one way from operators' commands to a cluster: the `oc` or `kubectl` that the operator uses too.

So a command needs no login of its own, may do what its user may do, and works wherever that program works.
What the program is told and answers is never logged; its errors are passed on in its own words.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

PROGRAMS = ("oc", "kubectl")
"""Looked for on PATH in this order: whoever has `oc` has logged in with it."""

FIELD_MANAGER = "maasctl"
"""The owner of the fields that are applied:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers"""

_MAX_LINE = 1024 * 1024
_STOP_SECONDS = 5.0

# What klog writes beside the message, such as `E1124 10:00:00.000000   17 memcache.go:265] …`.
_NOISE = re.compile(r"^[EWIF]\d{4} [\d:.]+ ")


class KubectlError(Exception):
    """The cluster could not be asked, or did not do what it was asked; `str()` is the program's message."""


class ProgramMissingError(KubectlError):
    """Neither `oc` nor `kubectl` is installed."""

    def __init__(self) -> None:
        super().__init__(
            "neither oc nor kubectl was found on PATH; install one, or pip install 'privatemaas[embedded]'"
        )


class UnansweredError(KubectlError):
    """The program took longer than it was given, and was stopped."""


class CommandFailedError(KubectlError):
    """The program ended with an error.

    Attributes:
        code: its exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class NotFoundError(CommandFailedError):
    """There is no such object."""


class UnknownKindError(CommandFailedError):
    """The cluster does not know this kind: its CustomResourceDefinition is not there."""


class ForbiddenError(CommandFailedError):
    """The user may not do that."""


class ConflictError(CommandFailedError):
    """Somebody else owns a field that was to be changed."""


class UnauthorizedError(CommandFailedError):
    """The cluster does not accept the user's credentials."""


class UnreachableError(CommandFailedError):
    """There is no cluster at the other end, or no kubeconfig that says where it is."""


_SIGNS: tuple[tuple[re.Pattern[str], type[CommandFailedError]], ...] = (
    (re.compile(r"Apply failed with \d+ conflict"), ConflictError),
    (re.compile(r"doesn't have a resource type|no matches for kind"), UnknownKindError),
    (re.compile(r"\(Forbidden\)|is forbidden"), ForbiddenError),
    (re.compile(r"\(Unauthorized\)|must be logged in|provide credentials"), UnauthorizedError),
    (
        re.compile(
            r"Unable to connect|was refused|no route to host|i/o timeout|no configuration has been provided"
            r"|invalid configuration|Error in configuration|error loading config"
            r"|Missing or incomplete config|context .* does not exist"
        ),
        UnreachableError,
    ),
    (re.compile(r"\(NotFound\)|not found"), NotFoundError),
)


class Kubectl:
    """`oc` or `kubectl`, for one cluster.

    Args:
        program: its path.
        kubeconfig: the value of KUBECONFIG; None leaves it to the program and its environment.
        context: a context of the kubeconfig; None takes the current one.
        timeout_seconds: how long one call may take.
    """

    def __init__(
        self,
        program: Path,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout = timeout_seconds

    @classmethod
    def find(
        cls, *, kubeconfig: str | None = None, context: str | None = None, timeout_seconds: float = 60.0
    ) -> Kubectl:
        """The program on PATH, or the one that is installed beside this Python.

        Raises:
            ProgramMissingError: there is none.
        """
        beside = Path(sys.executable).with_name("kubectl")
        found = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if found is None and not beside.exists():
            raise ProgramMissingError
        program = Path(found) if found else beside
        return cls(program, kubeconfig=kubeconfig, context=context, timeout_seconds=timeout_seconds)

    @property
    def name(self) -> str:
        """`oc` or `kubectl`."""
        return self._program.stem

    def command(self, *arguments: str) -> str:
        """The line a person would type to run the same; with it messages say how to look further."""
        cluster = [f"--kubeconfig={self._kubeconfig}"] if self._kubeconfig else []
        return shlex.join([self.name, *cluster, *self._flags(), *arguments])

    async def text(self, *arguments: str, stdin: str = "", timeout_seconds: float | None = None) -> str:
        """What the program prints.

        Raises:
            UnansweredError: it took longer than it may.
            CommandFailedError: it failed; its subclasses say how.
        """
        seconds = self._timeout if timeout_seconds is None else timeout_seconds
        async with self._running(arguments, reads=bool(stdin)) as process:
            try:
                async with asyncio.timeout(seconds):
                    output, errors = await process.communicate(stdin.encode() or None)
            except TimeoutError:
                message = f"no answer within {seconds:g} s from: {self.command(*arguments)}"
                raise UnansweredError(message) from None
        if process.returncode:
            raise _failure(errors.decode(errors="replace"), process.returncode)
        return output.decode()

    async def json(self, *arguments: str, stdin: str = "", timeout_seconds: float | None = None) -> Any:
        """The object, or the List, that the program prints as JSON; an empty dict if it prints nothing.

        Raises:
            KubectlError: as for `text`.
        """
        printed = await self.text(*arguments, "--output=json", stdin=stdin, timeout_seconds=timeout_seconds)
        return json.loads(printed) if printed.strip() else {}

    async def apply(
        self,
        documents: Iterable[dict[str, Any]],
        *,
        server_side: bool = True,
        dry_run: bool = False,
        force_conflicts: bool = False,
    ) -> list[dict[str, Any]]:
        """Apply objects, and return them as they are in the cluster afterwards, in the same order.

        Args:
            documents: whole objects; nothing happens when there are none.
            server_side: whether the API server merges them, as those of the field manager `maasctl`.
            dry_run: whether the API server only says what would come of it.
            force_conflicts: whether fields are taken from other field managers.

        Raises:
            ConflictError: other field managers own some of the fields. Other objects may be applied already.
            KubectlError: as for `text`; some objects may be applied already.
        """
        stdin = "\n".join(json.dumps(document) for document in documents)
        if not stdin:
            return []
        flags = ["--dry-run=server"] if dry_run else []
        if server_side:
            flags += ["--server-side", f"--field-manager={FIELD_MANAGER}"]
            flags += ["--force-conflicts"] if force_conflicts else []
        return items(await self.json("apply", *flags, "--filename=-", stdin=stdin))

    async def kustomize(self, directory: Path) -> list[dict[str, Any]]:
        """The objects of a kustomization.

        Raises:
            KubectlError: as for `text`.
        """
        return list(yaml.safe_load_all(await self.text("kustomize", str(directory))))

    @asynccontextmanager
    async def lines(self, *arguments: str) -> AsyncIterator[AsyncIterator[str]]:
        """Run something that goes on (`logs -f`, `port-forward`), and give its lines; stop it at the end.

        The iterator ends with the program, and raises a KubectlError if it failed.
        """
        async with self._running(arguments) as process, aclosing(self._read(process)) as lines:
            yield lines

    async def _read(self, process: asyncio.subprocess.Process) -> AsyncGenerator[str, None]:
        assert process.stdout is not None  # noqa: S101  # it was asked for
        assert process.stderr is not None  # noqa: S101  # the same
        # Read along, because a program whose errors nobody reads stops once they fill the pipe.
        errors = asyncio.create_task(process.stderr.read(), name=f"{self.name}'s errors")
        try:
            async for line in process.stdout:
                yield line.decode(errors="replace").rstrip("\r\n")
            message = (await errors).decode(errors="replace")
            if code := await process.wait():
                raise _failure(message, code)
        finally:
            errors.cancel()

    @asynccontextmanager
    async def _running(
        self, arguments: Sequence[str], *, reads: bool = False
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = dict(os.environ)
        if self._kubeconfig:
            environment["KUBECONFIG"] = self._kubeconfig
        process = await asyncio.create_subprocess_exec(
            self._program,
            *self._flags(),
            *arguments,
            stdin=asyncio.subprocess.PIPE if reads else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE,
            env=environment,
            # Ctrl-C reaches this process alone, which then ends the program in good order.
            process_group=0,
        )
        try:
            yield process
        finally:
            await _stop(process)

    def _flags(self) -> list[str]:
        return [f"--context={self._context}"] if self._context else []


def items(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a List; of anything else, the object itself; of an empty dict, none."""
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        return list(document["items"])
    return [document] if document else []


def _failure(errors: str, code: int) -> CommandFailedError:
    lines = [line for line in errors.splitlines() if line.strip() and not _NOISE.match(line)]
    message = "\n".join(lines).removeprefix("error: ") or f"it ended with exit code {code} and said nothing"
    kind = next((kind for sign, kind in _SIGNS if sign.search(message)), CommandFailedError)
    return kind(message, code)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the program, with what it has started to get credentials, and close its pipes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            # Not `timeout`: in a task that was cancelled, Python before 3.11.3 makes a CancelledError of it.
            await asyncio.wait_for(process.communicate(), _STOP_SECONDS)
