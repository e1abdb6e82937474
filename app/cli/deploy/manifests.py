"""The folders of manifests/, rendered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.deploy.errors import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.cli.kubectl import Kubectl

CHECKOUT = Path(__file__).resolve().parents[3] / "manifests"
"""Where they are when the command runs from a checkout."""

SERVICE_IMAGE = "ghcr.io/privatemaas/maas-api"
IMAGES = {"maas-api": SERVICE_IMAGE, "maas-embedded": "ghcr.io/privatemaas/maas-embedded"}
"""Images of this project, by the names that `--image` takes."""


def find(directory: Path | None) -> Path:
    """The directory to deploy from.

    Raises:
        ChoiceError: it is none.
    """
    chosen = CHECKOUT if directory is None else directory
    if (chosen / "overlays").is_dir():
        return chosen
    if directory is None:
        message = "the manifests are not beside this installation; check the repository out and give"
        raise ChoiceError(f"{message} --manifests CHECKOUT/manifests")
    raise ChoiceError(
        f"{directory} holds no overlays; --manifests takes the directory manifests/ of a checkout"
    )


def models(directory: Path) -> list[str]:
    """The models there are, sorted."""
    return sorted(path.parent.name for path in directory.glob("models/*/model.yaml"))


def check_models(directory: Path, names: Iterable[str]) -> None:
    """Do nothing when every model exists.

    Raises:
        ChoiceError: one does not.
    """
    available = models(directory)
    if unknown := sorted(set(names).difference(available)):
        raise ChoiceError(f"there is no model {', '.join(unknown)}; the models are {', '.join(available)}")


def parse_images(texts: Iterable[str]) -> dict[str, str]:
    """What `--image` says: images of the manifests, without tag, and what takes their place.

    Raises:
        ChoiceError: it names an image that is not in the manifests.
    """
    images = {}
    for text in texts:
        name, equals, reference = text.rpartition("=")
        if not reference or name not in (IMAGES if equals else {"": ""}):
            raise ChoiceError(f"--image takes REFERENCE or NAME=REFERENCE, NAME one of {', '.join(IMAGES)}")
        images[IMAGES.get(name, SERVICE_IMAGE)] = reference
    return images


async def render(
    kubectl: Kubectl, directory: Path, folders: Iterable[str], images: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The objects of the folders, each once, with other images where some are named.

    Raises:
        KubectlError: a folder is no kustomization, or the program cannot be run.
    """
    documents: dict[tuple[str, ...], dict[str, Any]] = {}
    for folder in folders:
        for document in await kubectl.kustomize(directory / folder):
            metadata = document["metadata"]
            key = (document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"])
            documents.setdefault(key, document)
    for document in documents.values():
        _replace(document.get("spec"), images)
    return list(documents.values())


def _replace(node: Any, images: Mapping[str, str]) -> None:
    if isinstance(node, list):
        for item in node:
            _replace(item, images)
    elif isinstance(node, dict):
        image = node.get("image")
        # A tag is behind the last colon, and a registry's port behind an earlier one.
        if isinstance(image, str) and (new := images.get(image.rpartition(":")[0] or image)):
            node["image"] = new
        for value in node.values():
            _replace(value, images)
