"""A program with files where the kubelet mounts them for a pod, on Linux and without being root.

Some programs look for files at paths that no flag changes, such as `/certs`. They run in a mount namespace of
their own, whose root has everything that is at `/` and what is mounted for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.embedded.gateway import tether
from tests.control_plane.process import Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ENTER = ("unshare", "--map-root-user", "--mount")
# Arguments: the new root, pairs of a path and what is mounted there, `--`, the program and its arguments. A
# directory of `/` in which something is mounted is not itself there: outside, nothing may be made in it.
_SCRIPT = """
set -eu
root=$1
shift
mount -t tmpfs tmpfs "$root"
tops=
while [ "$1" != -- ]; do
  mkdir -p "$root$1"
  mount --rbind "$2" "$root$1"
  top=${1#/}
  tops="$tops /${top%%/*}"
  shift 2
done
shift
for path in /*; do
  case " $tops " in *" $path "*) continue ;; esac
  if [ -L "$path" ]; then
    cp -P "$path" "$root/"
  elif [ -d "$path" ]; then
    mkdir "$root$path"
    mount --rbind "$path" "$root$path"
  fi
done
exec chroot "$root" "$@"
"""


def why_no_pods() -> str | None:
    """Why this machine cannot do it, or None if it can."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "there is no program unshare (Linux, package util-linux)"
    tried = subprocess.run([*_ENTER, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"mount namespaces are not allowed here: {tried.stderr.strip()}"


def process_in_pod(
    program: Path,
    arguments: Sequence[str],
    *,
    root: Path,
    mounts: Mapping[str, Path],
    log: Path,
    variables: Mapping[str, str] | None = None,
) -> Process:
    """A process that sees directories mounted.

    Args:
        program: the program.
        arguments: its arguments.
        root: a directory to build its root in, which is made.
        mounts: directories, by the absolute paths where the program sees them.
        log: where its output goes.
        variables: environment variables beside those of the tests.
    """
    root.mkdir()
    unshare = shutil.which(_ENTER[0])
    assert unshare, why_no_pods()
    pairs = [part for path, source in mounts.items() for part in (path, str(source))]
    # Entering a user namespace unties a process from its parent, so it is tied again.
    tied = (sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()))
    shell = ("sh", "-c", _SCRIPT, "pod", str(root), *pairs, "--")
    command = (*_ENTER[1:], *shell, *tied, str(program), *arguments)
    return Process(Path(unshare), command, log=log, variables=variables)
