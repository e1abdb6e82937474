from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.embedded.kubernetes.patch import strategic_merge_patch
from tests.unit.embedded.kubernetes.api import (
    CONFIG_MAPS,
    JSON_PATCH,
    MERGE,
    MODELS,
    SERVICE_ACCOUNTS,
    STRATEGIC,
    config_map,
    failure,
    model,
    service_account,
)

if TYPE_CHECKING:
    from tests.unit.embedded.kubernetes.api import API

SETTINGS = f"{CONFIG_MAPS}/settings"


async def test_a_merge_patch_sets_and_removes(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map(data={"a": "1", "b": "2"}))
    patched = (
        await api.patch(SETTINGS, {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": "y"}}})
    ).json()
    assert patched["data"] == {"b": "2", "c": "3"}
    assert patched["metadata"]["labels"] == {"x": "y"}


async def test_a_json_patch_is_applied_in_order(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    operations = [
        {"op": "test", "path": "/data/mode", "value": "a"},
        {"op": "add", "path": "/data/more", "value": "b"},
        {"op": "remove", "path": "/data/mode"},
    ]
    assert (await api.patch(SETTINGS, operations, type=JSON_PATCH)).json()["data"] == {"more": "b"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/mode", "value": "other"},
        {"op": "remove", "path": "/data/none"},
        {"op": "add", "path": "/none/none/none", "value": 1},
        {"op": "juggle", "path": "/data"},
        {"path": "/data"},
    ],
)
async def test_a_json_patch_that_does_not_fit_changes_nothing(api: API, operation: dict[str, Any]) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    answer = await api.patch(
        SETTINGS, [{"op": "add", "path": "/data/x", "value": "y"}, operation], type=JSON_PATCH
    )
    message = "the server rejected our request due to an error in our request"
    assert failure(answer) == (422, "Invalid", message)
    assert (await api.get(SETTINGS)).json() == created


async def test_a_json_patch_has_a_limit(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    operations = [{"op": "test", "path": "/data/mode", "value": "a"}] * 10_001
    assert failure(await api.patch(SETTINGS, operations, type=JSON_PATCH))[:2] == (
        413,
        "RequestEntityTooLarge",
    )


async def test_patches_of_the_wrong_shape_are_refused(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    for body, media_type in (({}, JSON_PATCH), ([], MERGE), ([], STRATEGIC), ("{", MERGE)):
        assert failure(await api.patch(SETTINGS, body, type=media_type))[:2] == (400, "BadRequest")
    replaced = [{"op": "replace", "path": "", "value": 1}]
    assert failure(await api.patch(SETTINGS, replaced, type=JSON_PATCH))[0] == 400


async def test_patches_of_an_unknown_type_are_refused(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    answer = await api.patch(SETTINGS, {}, type="application/json")
    assert failure(answer) == (415, "UnsupportedMediaType", "415: Unsupported Media Type")


async def test_custom_resources_know_no_strategic_merge(api: API) -> None:
    await api.create(MODELS, model())
    answer = await api.patch(f"{MODELS}/qwen3", {}, type=STRATEGIC)
    assert failure(answer)[:2] == (415, "UnsupportedMediaType")
    assert "application/merge-patch+json" in answer.json()["message"]


async def test_a_patch_can_insist_on_the_state_it_was_made_for(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    answer = await api.patch(SETTINGS, {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}})
    assert failure(answer)[:2] == (409, "Conflict")


async def test_a_patch_cannot_rename(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    assert failure(await api.patch(SETTINGS, {"metadata": {"name": "other"}}))[0] == 400


async def test_force_is_for_apply(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    code, _, message = failure(await api.patch(SETTINGS, {}, force="true"))
    assert code == 422
    assert message.endswith("force: Forbidden: may not be specified for non-apply patch")


async def test_a_strategic_merge_patch_merges_lists_of_named_items(api: API) -> None:
    await api.create(SERVICE_ACCOUNTS, {**service_account(), "secrets": [{"name": "a"}, {"name": "b"}]})
    patch = {
        "secrets": [{"name": "b", "$patch": "delete"}, {"name": "c"}, {"name": "a", "namespace": "maas"}],
        "$setElementOrder/secrets": [{"name": "c"}, {"name": "a"}],
    }
    patched = await api.patch(f"{SERVICE_ACCOUNTS}/one", patch, type=STRATEGIC)
    assert patched.json()["secrets"] == [{"name": "c"}, {"name": "a", "namespace": "maas"}]


@pytest.mark.parametrize(
    ("obj", "patch", "result"),
    [
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"x": 1, "y": 2, "z": 3}}, {"a": {"$retainKeys": ["x", "y"], "y": 4}},
         {"a": {"x": 1, "y": 4}}),
        ({"rules": [1, 2]}, {"rules": [3]}, {"rules": [3]}),
        ({"finalizers": ["a"]}, {"finalizers": ["b", "a"]}, {"finalizers": ["a", "b"]}),
        (
            {"finalizers": ["a", "b"]},
            {"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b"]},
            {"finalizers": ["b"]},
        ),
        ({"finalizers": ["a"]}, {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["b"]},
         {"finalizers": ["b", "a"]}),
        (
            {"conditions": [{"type": "A", "status": "False"}]},
            {"conditions": [{"$patch": "replace"}, {"type": "B"}]},
            {"conditions": [{"type": "B"}]},
        ),
        ({}, {"secrets": [{"name": "a"}]}, {"secrets": [{"name": "a"}]}),
    ],
)  # fmt: skip
def test_directives_of_strategic_merge_patches(
    obj: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    assert strategic_merge_patch(obj, patch) == result
