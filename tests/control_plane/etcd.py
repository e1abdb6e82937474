from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx

from tests.control_plane.ports import ReservedPort
from tests.control_plane.process import Process

if TYPE_CHECKING:
    from pathlib import Path

_START_SECONDS = 20
# A key outside those of the API server; the JSON API takes keys and values in base64.
_MARK = base64.b64encode(b"/tests/compaction").decode()


class Etcd:
    """The store behind the API server: one member, nothing worth keeping."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._port = ReservedPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        # A single member calls no peers, so any port will do for them to call it on.
        peers = "http://127.0.0.1:0"
        self._process = Process(
            program,
            [
                f"--data-dir={directory / 'etcd'}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--socket-reuse-port",
                # A crash of this machine may lose the data; waiting for the disk would cost seconds.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            log=directory / "etcd.log",
        )
        self._client = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)

    async def start(self) -> None:
        await self._process.start(self._client, "/health", within_seconds=_START_SECONDS)

    async def stop(self) -> None:
        await self._client.aclose()
        await self._process.kill()
        self._port.release()

    async def compact(self) -> None:
        """Forget the past, so that every revision seen so far is too old to read or to watch from.

        (etcd API, KV.Compact: what is older than the revision named is forgotten, and a watch asks for what
        comes after the revision it saw. So the present has to be two revisions further.)
        """
        for _ in range(2):
            answer = await self._call("/v3/kv/put", {"key": _MARK, "value": _MARK})
        revision = answer["header"]["revision"]
        await self._call("/v3/kv/compaction", {"revision": revision, "physical": True})

    async def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._client.post(path, json=body)).raise_for_status().json()
        return answer
