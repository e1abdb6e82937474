from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.embedded.kubernetes.api import (
    CONFIG_MAPS,
    GROUPS,
    LEASES,
    MODELS,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    config_map,
    failure,
    model,
    names,
    service_account,
)

if TYPE_CHECKING:
    from app.embedded.kubernetes import Cluster
    from tests.unit.embedded.kubernetes.api import API


async def test_a_created_object_gets_its_identity_from_the_server(api: API) -> None:
    given = config_map(uid="mine", creationTimestamp="1999-01-01T00:00:00Z", generation=7)
    created = await api.create(CONFIG_MAPS, given)
    metadata = created["metadata"]
    assert created["kind"] == "ConfigMap"
    assert metadata["namespace"] == "maas"
    assert metadata["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert metadata["uid"] not in ("", "mine")
    assert "generation" not in metadata
    assert int(metadata["resourceVersion"]) > 0
    assert (await api.get(f"{CONFIG_MAPS}/settings")).json() == created


async def test_every_write_raises_the_one_resource_version(api: API) -> None:
    first = await api.create(CONFIG_MAPS, config_map("a"))
    second = await api.create(SERVICE_ACCOUNTS, service_account())
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1


async def test_a_name_can_be_taken_only_once(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    again = await api.post(CONFIG_MAPS, config_map())
    assert failure(again) == (409, "AlreadyExists", 'configmaps "settings" already exists')
    assert again.json()["details"] == {"name": "settings", "kind": "configmaps"}


async def test_a_name_is_generated_from_its_beginning(api: API) -> None:
    body = {"metadata": {"generateName": "alice-sa-"}}
    found = {(await api.create(SERVICE_ACCOUNTS, body))["metadata"]["name"] for _ in range(5)}
    assert len(found) == 5
    assert all(name.startswith("alice-sa-") and len(name) == 14 for name in found)


async def test_an_object_needs_a_name(api: API) -> None:
    answer = await api.post(CONFIG_MAPS, {"metadata": {}})
    message = 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    assert failure(answer) == (422, "Invalid", message)


async def test_an_object_needs_its_namespace(api: API) -> None:
    answer = await api.post("/api/v1/namespaces/nowhere/configmaps", config_map())
    assert failure(answer) == (404, "NotFound", 'namespaces "nowhere" not found')


async def test_an_object_of_another_namespace_is_refused(api: API) -> None:
    code, reason, message = failure(await api.post(CONFIG_MAPS, config_map(namespace="other")))
    assert (code, reason) == (400, "BadRequest")
    assert "does not match the namespace sent on the request" in message


async def test_an_empty_namespace_in_the_body_is_filled_in(api: API) -> None:
    assert (await api.create(CONFIG_MAPS, config_map(namespace="")))["metadata"]["namespace"] == "maas"


async def test_a_resource_version_cannot_be_chosen(api: API) -> None:
    answer = await api.post(CONFIG_MAPS, config_map(resourceVersion="5"))
    assert failure(answer) == (500, "", "resourceVersion should not be set on objects to be created")


async def test_a_body_of_another_kind_is_refused(api: API) -> None:
    assert failure(await api.post(CONFIG_MAPS, service_account()))[:2] == (400, "BadRequest")
    assert failure(await api.post(CONFIG_MAPS, {**config_map(), "apiVersion": "v2"}))[:2] == (
        400,
        "BadRequest",
    )


async def test_a_custom_resource_must_say_what_it_is(api: API) -> None:
    code, _, message = failure(await api.post(GROUPS, {"metadata": {"name": "g"}}))
    assert (code, message) == (400, "Object 'Kind' is missing in the body")


async def test_yaml_is_read_and_times_in_it_stay_text(api: API) -> None:
    text = "metadata: {name: settings}\ndata: {when: 2026-01-28T00:00:00Z}"
    answer = await api.call("POST", CONFIG_MAPS, text, type="application/yaml")
    assert answer.json()["data"] == {"when": "2026-01-28T00:00:00Z"}


async def test_bodies_that_are_no_objects_are_refused(api: API) -> None:
    for body, media_type in (
        ("{", "application/json"),
        ("[1]", "application/json"),
        ('{"metadata": 1}', "application/json"),
        ("a: [", "application/yaml"),
        ("a: &x 1\nb: *x", "application/yaml"),
    ):
        answer = await api.call("POST", CONFIG_MAPS, body, type=media_type)
        assert failure(answer)[:2] == (400, "BadRequest"), body


async def test_a_body_of_an_unknown_type_is_refused(api: API) -> None:
    answer = await api.call("POST", CONFIG_MAPS, "x", type="text/plain")
    assert failure(answer)[:2] == (415, "UnsupportedMediaType")


async def test_a_body_over_three_mebibytes_is_refused(api: API) -> None:
    answer = await api.post(CONFIG_MAPS, "x" * (3 * 1024 * 1024 + 1))
    assert failure(answer) == (
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    )


async def test_an_update_replaces_the_object_and_keeps_its_identity(api: API) -> None:
    created = await api.create(CONFIG_MAPS, config_map(labels={"a": "b"}))
    updated = (await api.put(f"{CONFIG_MAPS}/settings", config_map(data={"mode": "b"}))).json()
    assert updated["data"] == {"mode": "b"}
    assert "labels" not in updated["metadata"]
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    assert int(updated["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])


async def test_an_update_that_changes_nothing_is_not_stored(api: API) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    assert (await api.put(f"{CONFIG_MAPS}/settings", created)).json() == created


async def test_an_update_from_an_old_state_is_a_conflict(api: API) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    await api.patch(f"{CONFIG_MAPS}/settings", {"data": {"mode": "b"}})
    code, reason, message = failure(await api.put(f"{CONFIG_MAPS}/settings", created))
    assert (code, reason) == (409, "Conflict")
    assert message.startswith(
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified'
    )


async def test_an_update_of_another_incarnation_is_a_conflict(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    answer = await api.put(f"{CONFIG_MAPS}/settings", config_map(uid="another"))
    assert failure(answer)[:2] == (409, "Conflict")


async def test_an_update_must_carry_the_name_of_the_url(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    answer = await api.put(f"{CONFIG_MAPS}/settings", config_map("other"))
    message = "the name of the object (other) does not match the name on the URL (settings)"
    assert failure(answer) == (400, "BadRequest", message)


async def test_an_update_of_what_does_not_exist_creates_only_what_real_servers_create(api: API) -> None:
    assert failure(await api.put(f"{CONFIG_MAPS}/settings", config_map()))[:2] == (404, "NotFound")
    lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "me"}}
    assert (await api.put(f"{LEASES}/leader", lease)).status_code == 201


async def test_a_lease_is_not_updated_blindly(api: API) -> None:
    lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "me"}}
    await api.create(LEASES, lease)
    answer = await api.put(f"{LEASES}/leader", lease)
    assert failure(answer)[:2] == (422, "Invalid")
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in answer.text


async def test_a_dry_run_answers_and_stores_nothing(api: API) -> None:
    assert (await api.post(CONFIG_MAPS, config_map(), dryRun="All")).status_code == 201
    assert (await api.get(f"{CONFIG_MAPS}/settings")).status_code == 404
    created = await api.create(CONFIG_MAPS, config_map())
    patched = await api.patch(f"{CONFIG_MAPS}/settings", {"data": {"mode": "b"}}, dryRun="All")
    assert patched.json()["data"] == {"mode": "b"}
    assert (await api.delete(f"{CONFIG_MAPS}/settings", dryRun="All")).status_code == 200
    assert (await api.get(f"{CONFIG_MAPS}/settings")).json() == created
    assert failure(await api.post(CONFIG_MAPS, config_map("b"), dryRun="Some"))[:2] == (422, "Invalid")


async def test_a_delete_answers_with_a_status_or_for_service_accounts_the_object(api: API) -> None:
    created = await api.create(CONFIG_MAPS, config_map())
    status = (await api.delete(f"{CONFIG_MAPS}/settings")).json()
    assert status["status"] == "Success"
    assert status["details"] == {
        "name": "settings",
        "kind": "configmaps",
        "uid": created["metadata"]["uid"],
    }
    account = await api.create(SERVICE_ACCOUNTS, service_account())
    deleted = (await api.delete(f"{SERVICE_ACCOUNTS}/one")).json()
    assert deleted["metadata"]["uid"] == account["metadata"]["uid"]
    assert failure(await api.delete(f"{SERVICE_ACCOUNTS}/one"))[:2] == (404, "NotFound")


async def test_a_delete_with_preconditions_spares_any_other_object(api: API) -> None:
    created = (await api.create(CONFIG_MAPS, config_map()))["metadata"]
    for field, wrong in (("uid", "another"), ("resourceVersion", "1")):
        answer = await api.delete(f"{CONFIG_MAPS}/settings", {"preconditions": {field: wrong}})
        assert failure(answer)[:2] == (409, "Conflict")
        assert "in the precondition" in answer.text
    right = {"uid": created["uid"], "resourceVersion": created["resourceVersion"]}
    assert (await api.delete(f"{CONFIG_MAPS}/settings", {"preconditions": right})).status_code == 200


async def test_finalizers_delay_a_delete_until_they_are_gone(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map(finalizers=["example.com/wait"]))
    marked = (await api.delete(f"{CONFIG_MAPS}/settings")).json()
    assert marked["metadata"]["deletionTimestamp"]
    assert (await api.delete(f"{CONFIG_MAPS}/settings")).json() == marked
    await api.patch(f"{CONFIG_MAPS}/settings", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{CONFIG_MAPS}/settings")).status_code == 404


async def test_a_collection_is_deleted_by_selector(api: API) -> None:
    for name, tier in (("a", "free"), ("b", "premium"), ("c", "free")):
        await api.create(SERVICE_ACCOUNTS, service_account(name, labels={"tier": tier}))
    assert names(await api.delete(SERVICE_ACCOUNTS, labelSelector="tier=free")) == ["a", "c"]
    assert names(await api.get(SERVICE_ACCOUNTS)) == ["b"]


async def test_deleting_a_namespace_deletes_what_is_in_it(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    await api.create(SERVICE_ACCOUNTS, service_account())
    gone = (await api.delete("/api/v1/namespaces/maas")).json()
    assert gone["status"] == {"phase": "Terminating"}
    assert names(await api.get("/api/v1/configmaps")) == []
    assert names(await api.get("/api/v1/serviceaccounts")) == []
    assert (await api.get("/api/v1/namespaces/maas")).status_code == 404


async def test_a_namespace_is_active_and_labelled_with_its_name(api: API) -> None:
    namespace = (await api.get("/api/v1/namespaces/maas")).json()
    assert namespace["status"] == {"phase": "Active"}
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "maas"}


async def test_the_generation_of_a_custom_resource_counts_changes_of_its_specification(api: API) -> None:
    assert (await api.create(MODELS, model()))["metadata"]["generation"] == 1
    labelled = await api.patch(f"{MODELS}/qwen3", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.json()["metadata"]["generation"] == 1
    changed = await api.patch(f"{MODELS}/qwen3", {"spec": {"predictor": {"minReplicas": 2}}})
    assert changed.json()["metadata"]["generation"] == 2


async def test_the_status_is_changed_only_through_its_subresource(api: API) -> None:
    created = await api.create(MODELS, model(status={"url": "http://early"}))
    assert "status" not in created
    patched = await api.patch(f"{MODELS}/qwen3", {"status": {"url": "http://sneaky"}})
    assert "status" not in patched.json()
    ready = await api.patch(f"{MODELS}/qwen3/status", {"status": {"url": "http://m"}, "spec": {"x": 1}})
    assert ready.json()["status"] == {"url": "http://m"}
    assert "x" not in ready.json()["spec"]
    assert ready.json()["metadata"]["generation"] == 1
    assert (await api.get(f"{MODELS}/qwen3/status")).json() == ready.json()
    replaced = await api.put(f"{MODELS}/qwen3", {**ready.json(), "status": {}})
    assert replaced.json()["status"] == {"url": "http://m"}
    cleared = await api.put(f"{MODELS}/qwen3/status", {**replaced.json(), "status": None})
    assert "status" not in cleared.json()


async def test_the_status_of_nothing_is_not_found(api: API) -> None:
    assert (await api.put(f"{MODELS}/none/status", model("none"))).status_code == 404
    assert (await api.patch(f"{MODELS}/none/status", {})).status_code == 404


async def test_plain_text_in_a_secret_is_encoded(api: API) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}
    secret = await api.create(SECRETS, body)
    assert secret["type"] == "Opaque"
    assert secret["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in secret


async def test_a_binding_is_completed_with_its_api_group(api: API) -> None:
    body = {
        "metadata": {"name": "readers"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "Group", "name": "g"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "maas"},
        ],
    }
    binding = await api.create(f"{RBAC}/namespaces/maas/rolebindings", body)
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert [each.get("apiGroup") for each in binding["subjects"]] == ["rbac.authorization.k8s.io", None]


async def test_seeded_manifests_are_created_or_replaced(cluster: Cluster) -> None:
    manifest = {**model(status={"url": "http://m"}), "metadata": {"name": "m", "namespace": "maas"}}
    first = cluster.apply(manifest)
    assert first["status"] == {"url": "http://m"}
    second = cluster.apply({**manifest, "spec": {"changed": True}})
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["spec"] == {"changed": True}
    second["spec"]["changed"] = "in the copy only"
    again = cluster.apply({**manifest, "spec": {"changed": True}})
    assert again["spec"] == {"changed": True}


async def test_names_may_contain_what_paths_are_made_of(api: API) -> None:
    group = {"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": "a b:ü"}}
    await api.create(GROUPS, group)
    assert (await api.get(f"{GROUPS}/a%20b:%C3%BC")).json()["metadata"]["name"] == "a b:ü"
    assert failure(await api.get(f"{GROUPS}/a%2Fb"))[2] == 'groups.user.openshift.io "a/b" not found'


@pytest.mark.parametrize("depth", [300, 900, 2000])
async def test_what_is_nested_too_deeply_is_refused(api: API, depth: int) -> None:
    body = json.dumps(model())[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
    assert failure(await api.call("POST", MODELS, body))[:2] == (400, "BadRequest")
    assert (await api.get(f"{MODELS}/qwen3")).status_code == 404
    body = body.replace("[", '{"a":').replace("]", "}").replace('{"a":}', '{"a":{}}')
    assert failure(await api.call("POST", MODELS, body))[:2] == (400, "BadRequest")
    assert (await api.get(f"{MODELS}/qwen3")).status_code == 404
