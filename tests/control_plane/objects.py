"""Applying manifests without kubectl."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.control_plane.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# As `kubectl apply --server-side` does, whose fields the mapping wins over.
_FIELD_MANAGER = "kubectl"
_SERVED_SECONDS = 90
# Dozens of kinds are waited for at once: asking more often keeps a busy API server from making them.
_POLL_SECONDS = 0.1
_AGGREGATED_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True)
class _Resource:
    """Where the objects of one kind are."""

    root: str
    plural: str
    namespaced: bool
    status: bool

    def path(self, metadata: Mapping[str, Any]) -> str:
        namespace = f"/namespaces/{metadata.get('namespace', 'default')}" if self.namespaced else ""
        return f"{self.root}{namespace}/{self.plural}/{metadata['name']}"


class Objects:
    """Applies manifests with the rights of `client`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._resources: dict[tuple[str, str], _Resource] = {}

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object what the manifest says, its `status` included, and return what is stored.

        Raises:
            LookupError: The kind is not served.
            ControlPlaneError: The API server refused it; the message has its reason.
        """
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        path = resource.path(manifest["metadata"])
        stored = await self._server_side_apply(path, manifest)
        if resource.status and "status" in manifest:
            stored = await self._server_side_apply(f"{path}/status", manifest)
        return stored

    async def delete(self, manifest: Mapping[str, Any]) -> None:
        """Take an object away; it is no error if there is none.

        Raises:
            LookupError: The kind is not served.
            ControlPlaneError: The API server refused it; the message has its reason.
        """
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        path = resource.path(manifest["metadata"])
        answer = await self._client.delete(path)
        if not answer.is_success and answer.status_code != httpx.codes.NOT_FOUND:
            message = answer.json().get("message")
            raise ControlPlaneError(f"{path} was refused ({answer.status_code}): {message}")

    async def install_crds(self, paths: Iterable[Path]) -> None:
        """Apply the CustomResourceDefinitions in files or directories, and wait until they are served.

        Raises:
            ControlPlaneError: One was refused, or is not served in time.
        """
        definitions = await asyncio.to_thread(_definitions, list(paths))
        await asyncio.gather(*map(self.apply, definitions))
        try:
            async with asyncio.timeout(_SERVED_SECONDS):
                # First what one request tells of all of them: asking for each again and again keeps the API
                # server from getting on with them.
                await self._discovered(definitions)
                await asyncio.gather(*map(self._served, definitions))
        except TimeoutError as error:
            raise ControlPlaneError(f"the CRDs are not served after {_SERVED_SECONDS} s") from error

    async def _server_side_apply(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._client.patch(
            path,
            params={"fieldManager": _FIELD_MANAGER, "force": "true"},
            json=manifest,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        document: dict[str, Any] = answer.json()
        if not answer.is_success:
            raise ControlPlaneError(f"{path} was refused ({answer.status_code}): {document.get('message')}")
        return document

    async def _resource(self, api_version: str, kind: str) -> _Resource:
        known = self._resources.get((api_version, kind))
        return known or await self._discover(api_version, kind)

    async def _discover(self, api_version: str, kind: str) -> _Resource:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = await self._client.get(root)
        served = answer.json().get("resources", []) if answer.is_success else []
        names = {resource["name"] for resource in served}
        for resource in served:
            if resource["kind"] == kind and "/" not in resource["name"]:
                found = _Resource(
                    root=root,
                    plural=resource["name"],
                    namespaced=resource["namespaced"],
                    status=f"{resource['name']}/status" in names,
                )
                self._resources[api_version, kind] = found
                return found
        raise LookupError(f"the API server serves no {kind} of {api_version}")

    async def _served(self, definition: Mapping[str, Any]) -> None:
        spec = definition["spec"]
        versions = (version["name"] for version in spec["versions"] if version["served"])
        for version in versions:
            root, plural = f"/apis/{spec['group']}/{version}", spec["names"]["plural"]
            await self._listed(f"{root}/{plural}")
            await self._discoverable(root, plural)

    async def _discovered(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        """Wait for the document that tells kubectl all kinds, which is up to date a little later."""
        wanted = {
            (definition["spec"]["group"], version["name"], definition["spec"]["names"]["plural"])
            for definition in definitions
            for version in definition["spec"]["versions"]
            if version["served"]
        }
        while True:
            document = (await self._client.get("/apis", headers={"Accept": _AGGREGATED_DISCOVERY})).json()
            known = {
                (group["metadata"]["name"], version["version"], resource["resource"])
                for group in document["items"]
                for version in group["versions"]
                for resource in version.get("resources", ())
            }
            if wanted <= known:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _listed(self, path: str) -> None:
        while True:
            if (await self._client.get(path, params={"limit": "1"})).is_success:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _discoverable(self, root: str, plural: str) -> None:
        """Objects are served before the list of kinds has theirs, by some seconds on a busy machine."""
        while True:
            answer = await self._client.get(root)
            served = answer.json()["resources"] if answer.is_success else []
            if any(resource["name"] == plural for resource in served):
                return
            await asyncio.sleep(_POLL_SECONDS)


def _definitions(paths: list[Path]) -> list[dict[str, Any]]:
    return [
        document
        for path in paths
        for file in _files(path)
        for document in yaml.load_all(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        if document and document["kind"] == "CustomResourceDefinition"
    ]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(path.rglob("*.yaml"))
    else:
        yield path
