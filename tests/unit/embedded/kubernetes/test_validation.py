from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.embedded.kubernetes.api import (
    CONFIG_MAPS,
    GROUPS,
    MODELS,
    RBAC,
    SECRETS,
    SERVICE_ACCOUNTS,
    config_map,
    failure,
    model,
)

if TYPE_CHECKING:
    from tests.unit.embedded.kubernetes.api import API

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


async def test_a_name_is_a_subdomain(api: API) -> None:
    answer = await api.post(SERVICE_ACCOUNTS, {"metadata": {"name": "Alice@example"}})
    problem = f'Invalid value: "Alice@example": {SUBDOMAIN}'
    assert failure(answer) == (
        422,
        "Invalid",
        f'ServiceAccount "Alice@example" is invalid: metadata.name: {problem}',
    )
    assert answer.json()["details"] == {
        "name": "Alice@example",
        "kind": "ServiceAccount",
        "causes": [{"reason": "FieldValueInvalid", "message": problem, "field": "metadata.name"}],
    }


@pytest.mark.parametrize(
    ("path", "name", "valid"),
    [
        (CONFIG_MAPS, "a.b-c.1", True),
        (CONFIG_MAPS, "a" * 253, True),
        (CONFIG_MAPS, "a" * 254, False),
        (CONFIG_MAPS, "a.", False),
        (CONFIG_MAPS, "-a", False),
        ("/api/v1/namespaces", "a-b", True),
        ("/api/v1/namespaces", "a.b", False),
        ("/api/v1/namespaces", "a" * 64, False),
        (f"{RBAC}/namespaces/maas/roles", "system:Any thing", True),
        (f"{RBAC}/namespaces/maas/roles", "a/b", False),
        (f"{RBAC}/namespaces/maas/roles", "..", False),
    ],
)
async def test_names_follow_the_rules_of_their_kind(api: API, path: str, name: str, *, valid: bool) -> None:
    answer = await api.post(path, {"metadata": {"name": name}})
    assert answer.status_code == (201 if valid else 422)


async def test_openshift_groups_have_freer_names(api: API) -> None:
    group = {"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": "CN=Premium,OU=x"}}
    assert (await api.post(GROUPS, group)).status_code == 201


@pytest.mark.parametrize(
    ("labels", "problems"),
    [
        ({"tier": "free", "example.com/x": "", "a.b_c-D": "A_b.c"}, 0),
        ({"a b": "c"}, 1),
        ({"": "c"}, 2),
        ({"/a": "c"}, 1),
        ({"Example.com/a": "c"}, 1),
        ({"a" * 64: "c"}, 1),
        ({"a": "c" * 64}, 1),
        ({"a": "alice@example.com"}, 1),
        ({"a": "-b"}, 1),
    ],
)
async def test_labels_follow_their_rules(api: API, labels: dict[str, str], problems: int) -> None:
    answer = await api.post(CONFIG_MAPS, config_map(labels=labels))
    if problems:
        assert failure(answer)[:2] == (422, "Invalid")
        causes = answer.json()["details"]["causes"]
        assert [cause["field"] for cause in causes] == ["metadata.labels"] * problems
    else:
        assert answer.status_code == 201


async def test_annotations_hold_anything_up_to_a_size(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map(annotations={"Example.com/Any": "@ / ü", "b": "x" * 200_000}))
    for refused in ({"a b": "c"}, {"a": "x" * 262_145}):
        answer = await api.post(CONFIG_MAPS, config_map("b", annotations=refused))
        assert failure(answer)[:2] == (422, "Invalid")


async def test_data_has_keys_and_a_size(api: API) -> None:
    assert failure(await api.post(CONFIG_MAPS, config_map(data={"a/b": "c"})))[0] == 422
    assert failure(await api.post(CONFIG_MAPS, config_map(data={"a": "x" * 1_048_577})))[0] == 422


async def test_immutable_data_cannot_change(api: API) -> None:
    await api.create(CONFIG_MAPS, {**config_map(), "immutable": True})
    answer = await api.patch(f"{CONFIG_MAPS}/settings", {"data": {"mode": "b"}})
    assert "data: Forbidden: field is immutable when `immutable` is set" in failure(answer)[2]
    assert (await api.patch(f"{CONFIG_MAPS}/settings", {"immutable": False})).status_code == 422
    labelled = await api.patch(f"{CONFIG_MAPS}/settings", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.status_code == 200


async def test_secret_data_is_base64(api: API) -> None:
    answer = await api.post(SECRETS, {"metadata": {"name": "s"}, "data": {"a": "***"}})
    assert failure(answer)[:2] == (400, "BadRequest")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIG_MAPS, {"data": {"a": 1}}),
        (CONFIG_MAPS, {"data": "a"}),
        (CONFIG_MAPS, {"metadata": {"name": 1}}),
        (CONFIG_MAPS, {"metadata": {"name": "x", "labels": ["a"]}}),
        (CONFIG_MAPS, {"metadata": {"name": "x", "labels": {"a": True}}}),
        (CONFIG_MAPS, {"metadata": {"name": "x", "managedFields": [{"fieldsV1": {"f:a": 1}}]}}),
        (f"{RBAC}/clusterroles", {"rules": {}}),
        (f"{RBAC}/clusterroles", {"rules": [{"verbs": "get"}]}),
        (f"{RBAC}/clusterrolebindings", {"subjects": [1]}),
        (f"{RBAC}/clusterrolebindings", {"roleRef": "view"}),
    ],
)
async def test_fields_of_the_wrong_type_are_refused(api: API, path: str, body: dict[str, Any]) -> None:
    answer = await api.post(path, {"metadata": {"name": "x"}, **body})
    code, reason, message = failure(answer)
    assert (code, reason) == (400, "BadRequest")
    assert "json: cannot unmarshal" in message


async def test_null_is_as_good_as_nothing(api: API) -> None:
    body = {"metadata": {"name": "x", "labels": None, "managedFields": None}, "data": None}
    created = await api.create(CONFIG_MAPS, body)
    assert "labels" not in created["metadata"]
    assert "data" not in created


async def test_a_binding_needs_its_role_and_keeps_it(api: API) -> None:
    path = f"{RBAC}/clusterrolebindings"
    answer = await api.post(path, {"metadata": {"name": "b"}})
    assert failure(answer)[2].endswith(
        'is invalid: [roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole", '
        "roleRef.name: Required value]"
    )
    ref = {"kind": "ClusterRole", "name": "view"}
    subjects = [{"kind": "ServiceAccount", "name": "s"}]
    answer = await api.post(path, {"metadata": {"name": "b"}, "roleRef": ref, "subjects": subjects})
    assert "subjects[0].namespace: Required value" in failure(answer)[2]
    await api.create(path, {"metadata": {"name": "b"}, "roleRef": ref})
    answer = await api.patch(f"{path}/b", {"roleRef": {"name": "edit"}})
    assert "cannot change roleRef" in failure(answer)[2]


async def test_custom_resources_keep_fields_nobody_knows(api: API) -> None:
    created = await api.create(MODELS, model(spec={"anything": [1, None, {"a": {}}]}))
    assert created["spec"] == {"anything": [1, None, {"a": {}}]}


async def test_delete_options_of_the_wrong_type_are_refused(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    for options in ({"preconditions": "x"}, {"preconditions": {"uid": 1}}, {"dryRun": "All"}):
        assert failure(await api.delete(f"{CONFIG_MAPS}/settings", options))[:2] == (400, "BadRequest")
