"""The models of the cluster: every KServe InferenceService and LLMInferenceService.

A model's id is the name of its resource. Where two namespaces use the same name the older resource has it and
the other is known as ``<namespace>/<name>``, so that nobody takes over a model by giving theirs its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.kube.resources import INFERENCE_SERVICES, LLM_INFERENCE_SERVICES
from app.kube.timestamps import epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.kube.client import JsonObject
    from app.kube.resources import Resource

KINDS: tuple[Resource, ...] = (INFERENCE_SERVICES, LLM_INFERENCE_SERVICES)


@dataclass(frozen=True, slots=True)
class Model:
    """One model that can be called.

    Attributes:
        resource: the resource type that stands for it.
        namespace: where it lives.
        name: the name of its resource.
        uid: of its resource.
        created_at: seconds since the epoch.
        ready: whether its `Ready` condition is true.
    """

    resource: Resource
    namespace: str
    name: str
    uid: str
    created_at: int
    ready: bool


class Catalogue:
    """All models by id, merged from one shelf per kind."""

    def __init__(self) -> None:
        self._shelves = {resource: Shelf(resource, self._merge) for resource in KINDS}
        self._models: dict[str, Model] = {}
        self._subscribers: list[Callable[[], None]] = []

    def shelf(self, resource: Resource) -> Shelf:
        """The `Sink` for the reflector of one kind."""
        return self._shelves[resource]

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever the models have changed."""
        self._subscribers.append(notify)

    def get(self, model_id: str) -> Model | None:
        """The model of this id."""
        return self._models.get(model_id)

    def items(self) -> Iterable[tuple[str, Model]]:
        """Every model with its id, in the order of the ids."""
        return sorted(self._models.items())

    def _merge(self) -> None:
        models: dict[str, Model] = {}
        everything = (model for shelf in self._shelves.values() for model in shelf.models())
        for model in sorted(everything, key=lambda model: (model.created_at, model.namespace, model.uid)):
            if model.name not in models:
                models[model.name] = model
            else:
                models.setdefault(f"{model.namespace}/{model.name}", model)
        if models != self._models:
            self._models = models
            for notify in self._subscribers:
                notify()


class Shelf:
    """The models of one kind; a `Sink`."""

    def __init__(self, resource: Resource, changed: Callable[[], None]) -> None:
        self._resource = resource
        self._changed = changed
        self._models: dict[str, Model] = {}

    def models(self) -> Iterable[Model]:
        """All of them."""
        return self._models.values()

    def decode(self, obj: JsonObject) -> Model:
        """The model that a resource stands for."""
        metadata = obj["metadata"]
        conditions = (obj.get("status") or {}).get("conditions") or ()
        return Model(
            resource=self._resource,
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            created_at=epoch(metadata["creationTimestamp"]),
            ready=any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions),
        )

    def replace(self, items: Sequence[Model], resource_version: int) -> None:  # noqa: ARG002  # a Sink's signature
        """These are all there are."""
        self._models = {model.uid: model for model in items}
        self._changed()

    def put(self, item: Model) -> None:
        """One was added or changed."""
        self._models[item.uid] = item
        self._changed()

    def remove(self, obj: JsonObject) -> None:
        """One is gone."""
        self._models.pop(obj["metadata"]["uid"], None)
        self._changed()
