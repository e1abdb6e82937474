from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.embedded.kubernetes.api import APPLY, CONFIG_MAPS, MODELS, config_map, failure, model

if TYPE_CHECKING:
    import httpx

    from app.embedded.kubernetes import Cluster
    from tests.unit.embedded.kubernetes.api import API

SETTINGS = f"{CONFIG_MAPS}/settings"


async def apply(api: API, data: dict[str, Any], manager: str = "one", **params: str) -> httpx.Response:
    return await api.patch(SETTINGS, config_map(data=data), type=APPLY, fieldManager=manager, **params)


def owned(answer: httpx.Response) -> dict[str, tuple[str, Any]]:
    return {
        entry["manager"]: (entry["operation"], entry["fieldsV1"].get("f:data"))
        for entry in answer.json()["metadata"].get("managedFields", [])
    }


async def test_apply_creates_what_does_not_exist(api: API) -> None:
    answer = await apply(api, {"a": "1"})
    assert answer.status_code == 201
    assert owned(answer) == {"one": ("Apply", {"f:a": {}})}


async def test_apply_reads_yaml_and_takes_the_name_from_the_url(api: API) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\ndata: {a: '1'}"
    answer = await api.patch(SETTINGS, text, type=APPLY, fieldManager="one")
    assert answer.status_code == 201
    assert answer.json()["metadata"]["name"] == "settings"


async def test_applying_the_same_again_changes_nothing(api: API) -> None:
    first = await apply(api, {"a": "1"})
    second = await apply(api, {"a": "1"})
    assert second.status_code == 200
    assert second.json() == first.json()


async def test_fields_that_are_no_longer_applied_are_removed(api: API) -> None:
    await apply(api, {"a": "1", "b": "2"})
    assert (await apply(api, {"a": "1"})).json()["data"] == {"a": "1"}


async def test_a_map_is_removed_with_its_last_field(api: API) -> None:
    def applied(**spec: Any) -> dict[str, Any]:
        return model(spec={"predictor": {"minReplicas": 1, **spec}})

    path = f"{MODELS}/qwen3"
    await api.patch(path, applied(limits={"gpu": {"count": 1}}), type=APPLY, fieldManager="one")
    answer = await api.patch(path, applied(), type=APPLY, fieldManager="one")
    assert answer.json()["spec"] == {"predictor": {"minReplicas": 1}}
    assert answer.json()["metadata"]["generation"] == 2


async def test_fields_that_others_own_too_are_kept(api: API) -> None:
    await apply(api, {"a": "1", "b": "2"})
    shared = await apply(api, {"b": "2", "c": "3"}, "two")
    assert owned(shared)["two"] == ("Apply", {"f:b": {}, "f:c": {}})
    assert (await apply(api, {"a": "1"})).json()["data"] == {"a": "1", "b": "2", "c": "3"}


async def test_what_others_set_otherwise_is_a_conflict(api: API) -> None:
    await apply(api, {"a": "1", "b": "1"})
    answer = await apply(api, {"a": "2"}, "two")
    message = 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert failure(answer) == (409, "Conflict", message)
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    assert answer.json()["details"] == {"causes": [cause]}
    _, _, message = failure(await apply(api, {"a": "2", "b": "2"}, "two"))
    assert message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'


async def test_force_takes_a_field_over(api: API) -> None:
    await apply(api, {"a": "1", "b": "1"})
    forced = await apply(api, {"a": "2"}, "two", force="true")
    assert forced.json()["data"] == {"a": "2", "b": "1"}
    assert owned(forced) == {"one": ("Apply", {"f:b": {}}), "two": ("Apply", {"f:a": {}})}


async def test_an_edit_takes_a_field_from_who_applied_it(api: API) -> None:
    await apply(api, {"a": "1", "b": "1"})
    edited = await api.patch(SETTINGS, {"data": {"a": "3", "b": None}}, fieldManager="editor")
    assert owned(edited) == {"editor": ("Update", {"f:a": {}})}
    conflict = await apply(api, {"a": "1"})
    assert failure(conflict)[2] == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'


async def test_the_status_is_owned_apart(api: API) -> None:
    await api.create(MODELS, model())
    path = f"{MODELS}/qwen3/status"
    config = model(status={"url": "http://m"})
    answer = await api.patch(path, config, type=APPLY, fieldManager="controller")
    assert answer.json()["status"] == {"url": "http://m"}
    assert answer.json()["metadata"]["managedFields"][-1]["subresource"] == "status"
    other = model(status={"url": "http://other"})
    conflict = await api.patch(path, other, type=APPLY, fieldManager="other")
    assert 'conflict with "controller" with subresource "status": .status.url' in failure(conflict)[2]
    missing = await api.patch(f"{MODELS}/none/status", model("none"), type=APPLY, fieldManager="x")
    assert missing.status_code == 404


async def test_apply_needs_a_manager_a_kind_and_no_managed_fields(api: API) -> None:
    answer = await api.patch(SETTINGS, config_map(), type=APPLY)
    message = (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert failure(answer) == (422, "Invalid", message)
    assert (await api.patch(SETTINGS, {}, type=APPLY, fieldManager="one")).status_code == 400
    assert (await api.patch(SETTINGS, [], type=APPLY, fieldManager="one")).status_code == 400
    carrying = config_map(managedFields=[{"manager": "x"}])
    answer = await api.patch(SETTINGS, carrying, type=APPLY, fieldManager="one")
    assert failure(answer) == (400, "BadRequest", "metadata.managedFields must be nil")


async def test_a_client_can_rewrite_who_owns_what(api: API) -> None:
    await apply(api, {"a": "1"})
    operations = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    answer = await api.patch(SETTINGS, operations, type="application/json-patch+json")
    assert owned(answer) == {}


async def test_who_may_only_change_cannot_create_by_applying(api: API, cluster: Cluster) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    cluster.apply({**role, "metadata": {"name": "patcher"}, "rules": [rule]})
    cluster.apply(
        {
            **role,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "patcher"},
            "roleRef": {"kind": "ClusterRole", "name": "patcher"},
            "subjects": [{"kind": "User", "name": "alice@example.com"}],
        }
    )
    alice = api.acting("alice")
    code, _, message = failure(await apply(alice, {"a": "1"}))
    assert code == 403
    assert 'cannot create resource "configmaps"' in message
    await apply(api, {"a": "1"})
    assert (await apply(alice, {"b": "1"}, "alice")).status_code == 200


async def test_the_status_of_a_whole_configuration_is_left_to_its_subresource(api: API) -> None:
    path, config = f"{MODELS}/qwen3", model(status={"url": "http://m"})
    created = await api.patch(path, config, type=APPLY, fieldManager="one")
    assert "status" not in created.json()
    assert "f:status" not in created.json()["metadata"]["managedFields"][0]["fieldsV1"]
    status = await api.patch(f"{path}/status", config, type=APPLY, fieldManager="two")
    assert status.json()["status"] == {"url": "http://m"}
    assert list(status.json()["metadata"]["managedFields"][1]["fieldsV1"]) == ["f:status"]


async def test_apply_with_a_uid_never_creates(api: API) -> None:
    body = config_map(uid="8c1cf2c6-2b5e-4c4c-b9f2-1a2b3c4d5e6f", resourceVersion="5")
    answer = await api.patch(SETTINGS, body, type=APPLY, fieldManager="one")
    code, reason, message = failure(answer)
    assert (code, reason) == (409, "Conflict")
    assert "no existing object was found" in message
    assert (await api.get(SETTINGS)).status_code == 404
