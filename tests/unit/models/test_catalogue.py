"""Ids of models, and who has them where names collide."""

from __future__ import annotations

from typing import Any

from app.kube.resources import INFERENCE_SERVICES, LLM_INFERENCE_SERVICES
from app.models.catalogue import Catalogue


def resource(name: str, namespace: str, created: str, *, ready: str | None = "True") -> dict[str, Any]:
    conditions = [{"type": "Other", "status": "True"}]
    if ready is not None:
        conditions.append({"type": "Ready", "status": ready})
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}/{name}",
        "creationTimestamp": created,
    }
    return {"metadata": metadata, "status": {"conditions": conditions}}


def namespaces(catalogue: Catalogue) -> dict[str, str]:
    return {model_id: model.namespace for model_id, model in catalogue.items()}


def test_the_older_model_keeps_its_name_and_the_younger_is_known_by_its_namespace_too() -> None:
    catalogue = Catalogue()
    classic, llm = catalogue.shelf(INFERENCE_SERVICES), catalogue.shelf(LLM_INFERENCE_SERVICES)
    older = resource("qwen3", "production", "2026-01-01T00:00:00Z")
    llm.put(llm.decode(resource("qwen3", "impostor", "2026-02-01T00:00:00Z")))
    assert namespaces(catalogue) == {"qwen3": "impostor"}
    classic.replace([classic.decode(older)], 1)
    assert namespaces(catalogue) == {"impostor/qwen3": "impostor", "qwen3": "production"}
    classic.remove(older)
    assert namespaces(catalogue) == {"qwen3": "impostor"}


def test_both_kinds_of_the_same_name_in_one_namespace_make_one_more_id() -> None:
    catalogue = Catalogue()
    for kind in (INFERENCE_SERVICES, LLM_INFERENCE_SERVICES):
        shelf = catalogue.shelf(kind)
        shelf.put(shelf.decode(resource("qwen3", "production", "2026-01-01T00:00:00Z")))
    assert set(namespaces(catalogue)) == {"qwen3", "production/qwen3"}


def test_readiness_is_the_condition_of_that_name() -> None:
    shelf = Catalogue().shelf(INFERENCE_SERVICES)
    for ready, expected in (("True", True), ("False", False), ("Unknown", False), (None, False)):
        assert shelf.decode(resource("a", "b", "2026-01-01T00:00:00Z", ready=ready)).ready is expected
    bare = resource("a", "b", "2026-01-01T00:00:00Z")
    del bare["status"]
    assert shelf.decode(bare).ready is False


def test_subscribers_are_told_of_changes_only() -> None:
    catalogue = Catalogue()
    told: list[int] = []
    catalogue.subscribe(lambda: told.append(1))
    shelf = catalogue.shelf(INFERENCE_SERVICES)
    model = shelf.decode(resource("a", "b", "2026-01-01T00:00:00Z"))
    shelf.put(model)
    shelf.put(model)
    assert len(told) == 1
