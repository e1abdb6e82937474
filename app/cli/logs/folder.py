"""The folder that is filled, readable by its owner only, and the archive of it."""

from __future__ import annotations

import os
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER, _FILE = 0o700, 0o600


class Folder:
    """A new folder.

    Args:
        path: where; it must not exist yet.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=_FOLDER)
        self.path = path

    @contextmanager
    def file(self, *parts: str) -> Iterator[TextIO]:
        """A new file in it; names come from the cluster, and none of them leads out of the folder."""
        *folders, name = (part.replace("/", "_").replace("..", "_") for part in parts)
        folder = self.path
        for part in folders:
            folder /= part
            folder.mkdir(mode=_FOLDER, exist_ok=True)
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            yield file

    def archive(self) -> Path:
        """Pack it into `<folder>.tar.gz` beside it, and return that.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path.with_name(f"{self.path.name}.tar.gz")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as packed:
            packed.add(self.path, arcname=self.path.name, filter=_anonymous)
        return path


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever unpacks it need not know who packed it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
