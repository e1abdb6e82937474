from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.embedded.kubernetes.api import (
    CONFIG_MAPS,
    MAAS,
    RBAC,
    SERVICE_ACCOUNTS,
    config_map,
    failure,
    names,
    service_account,
)

if TYPE_CHECKING:
    from app.embedded.kubernetes import Cluster
    from tests.unit.embedded.kubernetes.api import API

GROUP_VERSION = "rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
ALICE = {"kind": "User", "name": "alice@example.com"}


def allow(
    cluster: Cluster, *rules: dict[str, Any], to: dict[str, Any] = ALICE, namespace: str | None = None
) -> None:
    """Grant rules everywhere, or in one namespace only."""
    name = f"test-{cluster.storage.version}"
    role, binding = ("ClusterRole", "ClusterRoleBinding") if namespace is None else ("Role", "RoleBinding")
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    cluster.apply({"apiVersion": GROUP_VERSION, "kind": role, "metadata": metadata, "rules": list(rules)})
    cluster.apply(
        {
            "apiVersion": GROUP_VERSION,
            "kind": binding,
            "metadata": metadata,
            "roleRef": {"kind": role, "name": name},
            "subjects": [to],
        }
    )


def rule(resource: str, *verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs), **more}


async def asked(api: API, user: str, *groups: str, **attributes: str) -> dict[str, Any]:
    spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
    review = await api.create(f"{REVIEWS}/subjectaccessreviews", {"spec": spec})
    status: dict[str, Any] = review["status"]
    return status


async def test_what_nothing_allows_is_forbidden_in_the_words_of_a_real_server(alice: API) -> None:
    answer = await alice.get(SERVICE_ACCOUNTS)
    message = (
        'serviceaccounts is forbidden: User "alice@example.com" cannot list resource "serviceaccounts" in '
        'API group "" in the namespace "maas"'
    )
    assert failure(answer) == (403, "Forbidden", message)
    assert answer.json()["details"] == {"kind": "serviceaccounts"}
    answer = await alice.get(f"{RBAC}/clusterroles/view")
    assert failure(answer)[2] == (
        'clusterroles.rbac.authorization.k8s.io "view" is forbidden: User "alice@example.com" cannot get '
        'resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope'
    )
    answer = await alice.post(f"{SERVICE_ACCOUNTS}/one/token", {})
    assert 'cannot create resource "serviceaccounts/token"' in failure(answer)[2]
    assert failure(await alice.get("/metrics"))[2] == (
        'forbidden: User "alice@example.com" cannot get path "/metrics"'
    )


async def test_a_role_binding_allows_in_its_namespace_only(alice: API, cluster: Cluster) -> None:
    allow(cluster, rule("configmaps", "list"), namespace="maas")
    assert names(await alice.get(CONFIG_MAPS)) == []
    assert (await alice.get("/api/v1/configmaps")).status_code == 403
    assert (await alice.get("/api/v1/namespaces/default/configmaps")).status_code == 403
    assert (await alice.get(f"{CONFIG_MAPS}/x")).status_code == 403


async def test_a_cluster_role_binding_allows_everywhere(alice: API, cluster: Cluster) -> None:
    allow(cluster, rule("*", "*", group="*"))
    assert (await alice.get("/api/v1/configmaps")).status_code == 200
    assert (await alice.get("/api/v1/namespaces/default/configmaps")).status_code == 200


async def test_a_role_binding_can_refer_to_a_cluster_role(alice: API, cluster: Cluster) -> None:
    cluster.apply(
        {
            "apiVersion": GROUP_VERSION,
            "kind": "RoleBinding",
            "metadata": {"name": "viewers", "namespace": "maas"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "name": "premium-users"}],
        }
    )
    assert (await alice.get(CONFIG_MAPS)).status_code == 200
    assert (await alice.get("/api/v1/configmaps")).status_code == 403


async def test_a_binding_to_a_role_that_does_not_exist_allows_nothing(alice: API, cluster: Cluster) -> None:
    cluster.apply(
        {
            "apiVersion": GROUP_VERSION,
            "kind": "RoleBinding",
            "metadata": {"name": "dangling", "namespace": "maas"},
            "roleRef": {"kind": "Role", "name": "none"},
            "subjects": [ALICE],
        }
    )
    assert (await alice.get(CONFIG_MAPS)).status_code == 403


async def test_names_narrow_a_rule(alice: API, cluster: Cluster) -> None:
    cluster.apply(config_map("mine", namespace="maas"))
    allow(cluster, rule("configmaps", "get", "list", "watch", resourceNames=["mine"]), namespace="maas")
    assert (await alice.get(f"{CONFIG_MAPS}/mine")).status_code == 200
    assert (await alice.get(f"{CONFIG_MAPS}/other")).status_code == 403
    assert (await alice.get(CONFIG_MAPS)).status_code == 403
    assert names(await alice.get(CONFIG_MAPS, fieldSelector="metadata.name=mine")) == ["mine"]


async def test_subresources_are_allowed_on_their_own(alice: API, cluster: Cluster) -> None:
    cluster.apply(service_account("one", namespace="maas"))
    allow(cluster, rule("serviceaccounts/token", "create"), namespace="maas")
    assert (await alice.post(f"{SERVICE_ACCOUNTS}/one/token", {})).status_code == 201
    assert (await alice.get(f"{SERVICE_ACCOUNTS}/one")).status_code == 403


async def test_a_change_of_rbac_holds_from_the_next_request_on(alice: API, cluster: Cluster) -> None:
    assert (await alice.get(CONFIG_MAPS)).status_code == 403
    allow(cluster, rule("configmaps", "list"), namespace="maas")
    assert (await alice.get(CONFIG_MAPS)).status_code == 200
    await alice.acting("admin").delete(f"{RBAC}/namespaces/maas/rolebindings")
    assert (await alice.get(CONFIG_MAPS)).status_code == 403


async def test_a_role_in_a_namespace_allows_to_get_that_namespace(alice: API, cluster: Cluster) -> None:
    allow(cluster, rule("namespaces", "get"), namespace="maas")
    assert (await alice.get(MAAS)).status_code == 200
    assert (await alice.get("/api/v1/namespaces/default")).status_code == 403


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "get", "resource": "configmaps", "namespace": "maas"}, True),
        ({"verb": "get", "resource": "configmaps", "namespace": "default"}, False),
        ({"verb": "get", "resource": "configmaps"}, False),
        ({"verb": "delete", "resource": "configmaps", "namespace": "maas"}, False),
        ({"verb": "get", "resource": "configmaps", "namespace": "maas", "subresource": "status"}, False),
        ({"verb": "get", "resource": "configmaps", "namespace": "maas", "group": "apps"}, False),
        ({"verb": "update", "resource": "things", "subresource": "scale", "namespace": "maas"}, True),
    ],
)
async def test_a_subject_access_review_answers_from_the_rbac_objects(
    api: API, cluster: Cluster, attributes: dict[str, str], *, allowed: bool
) -> None:
    allow(cluster, rule("configmaps", "get"), rule("*/scale", "update"), namespace="maas")
    status = await asked(api, "alice@example.com", **attributes)
    assert status["allowed"] is allowed
    assert ("reason" in status) is allowed


async def test_a_subject_access_review_says_which_binding_allowed(api: API) -> None:
    body = {
        "metadata": {"name": "all"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "one", "namespace": "maas"}],
    }
    await api.create(f"{RBAC}/clusterrolebindings", body)
    status = await asked(api, "system:serviceaccount:maas:one", verb="list", resource="configmaps")
    assert status == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "view" to ServiceAccount '
        '"one/maas"',
    }


async def test_groups_of_a_review_count_like_those_of_a_user(api: API, cluster: Cluster) -> None:
    tier = {"kind": "Group", "name": "maas:tier:premium"}
    allow(cluster, rule("inferenceservices", "get", group="serving.kserve.io"), to=tier)
    wanted = {
        "verb": "get",
        "resource": "inferenceservices",
        "group": "serving.kserve.io",
        "namespace": "maas",
    }
    assert (await asked(api, "bob", "maas:tier:premium", **wanted))["allowed"]
    assert not (await asked(api, "bob", "maas:tier:free", **wanted))["allowed"]
    assert (await asked(api, "root", "system:masters", **wanted)) == {"allowed": True}


async def test_paths_are_reviewed_too(api: API, cluster: Cluster) -> None:
    allow(cluster, {"nonResourceURLs": ["/maas-api/*", "/exact"], "verbs": ["get"]})
    allow(cluster, {"nonResourceURLs": ["*"], "verbs": ["get"]}, namespace="maas")
    for path, allowed in (("/maas-api/tokens", True), ("/exact", True), ("/exact/not", False), ("/", False)):
        spec = {"user": "alice@example.com", "nonResourceAttributes": {"verb": "get", "path": path}}
        review = await api.create(f"{REVIEWS}/subjectaccessreviews", {"spec": spec})
        assert review["status"]["allowed"] is allowed, path


async def test_reviews_that_ask_nothing_sensible_are_refused(api: API) -> None:
    path, attributes = {"verb": "get", "path": "/"}, {"verb": "get", "resource": "pods"}
    for kind, spec in (
        ("subjectaccessreviews", {}),
        ("subjectaccessreviews", {"user": "x"}),
        ("subjectaccessreviews", {"resourceAttributes": attributes}),
        (
            "subjectaccessreviews",
            {"user": "x", "resourceAttributes": attributes, "nonResourceAttributes": path},
        ),
        ("selfsubjectaccessreviews", {}),
        ("namespaces/maas/localsubjectaccessreviews", {"user": "x", "nonResourceAttributes": path}),
        ("namespaces/maas/localsubjectaccessreviews", {"user": "x", "resourceAttributes": attributes}),
    ):
        answer = await api.post(f"{REVIEWS}/{kind}", {"spec": spec})
        assert failure(answer)[:2] == (422, "Invalid"), spec
    assert (await api.post(f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {}})).status_code == 400
    assert (await api.post(f"{REVIEWS}/subjectaccessreviews", {"spec": "x"})).status_code == 400


async def test_a_local_review_asks_about_its_namespace(api: API, cluster: Cluster) -> None:
    allow(cluster, rule("configmaps", "get"), namespace="maas")
    attributes = {"verb": "get", "resource": "configmaps", "namespace": "maas"}
    review = await api.create(
        f"{REVIEWS}/namespaces/maas/localsubjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {"namespace": "maas"},
            "spec": {"user": "alice@example.com", "resourceAttributes": attributes},
        },
    )
    assert review["status"]["allowed"]


async def test_everybody_may_ask_about_themselves(alice: API, cluster: Cluster) -> None:
    allow(cluster, rule("configmaps", "get"), namespace="maas")
    for resource, allowed in (("configmaps", True), ("secrets", False)):
        spec = {"resourceAttributes": {"verb": "get", "resource": resource, "namespace": "maas"}}
        review = await alice.create(f"{REVIEWS}/selfsubjectaccessreviews", {"spec": spec})
        assert review["status"]["allowed"] is allowed
    myself = await alice.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert myself["status"]["userInfo"] == {
        "username": "alice@example.com",
        "uid": "u-1",
        "groups": ["premium-users", "system:authenticated"],
        "extra": {"scopes": ["user:full"]},
    }


async def test_everybody_may_ask_for_their_rules(alice: API, api: API, cluster: Cluster) -> None:
    allow(cluster, rule("configmaps", "get"), namespace="maas")
    path = f"{REVIEWS}/selfsubjectrulesreviews"
    status = (await alice.create(path, {"spec": {"namespace": "maas"}}))["status"]
    assert rule("configmaps", "get") in status["resourceRules"]
    assert any("/api" in each["nonResourceURLs"] for each in status["nonResourceRules"])
    elsewhere = (await alice.create(path, {"spec": {"namespace": "default"}}))["status"]
    assert rule("configmaps", "get") not in elsewhere["resourceRules"]
    everything = (await api.create(path, {"spec": {"namespace": "maas"}}))["status"]
    assert everything["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]


async def test_the_authenticated_discover_and_the_anonymous_see_health_only(
    alice: API, anonymous: API
) -> None:
    for path in ("/api", "/apis", "/api/v1", "/openapi/v3", "/version", "/healthz"):
        assert (await alice.get(path)).status_code == 200
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await anonymous.get(path)).status_code == 200
    answer = await anonymous.get("/api")
    assert failure(answer) == (
        403,
        "Forbidden",
        'forbidden: User "system:anonymous" cannot get path "/api"',
    )


async def test_an_administrator_acts_as_somebody_else(api: API, cluster: Cluster) -> None:
    allow(cluster, rule("configmaps", "list"), to={"kind": "Group", "name": "readers"}, namespace="maas")
    for headers, code in (
        ({"impersonate-user": "bob"}, 403),
        ({"impersonate-user": "bob", "impersonate-group": "readers"}, 200),
    ):
        assert (await api.call("GET", CONFIG_MAPS, headers=headers)).status_code == code


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        (
            {"impersonate-user": "bob", "impersonate-uid": "u", "impersonate-extra-example.com%2fa": "b"},
            {
                "username": "bob",
                "uid": "u",
                "groups": ["system:authenticated"],
                "extra": {"example.com/a": ["b"]},
            },
        ),
        (
            {"impersonate-user": "bob", "impersonate-group": "system:authenticated"},
            {"username": "bob", "groups": ["system:authenticated"]},
        ),
        (
            {"impersonate-user": "system:serviceaccount:maas:one"},
            {
                "username": "system:serviceaccount:maas:one",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:maas", "system:authenticated"],
            },
        ),
    ],
)
async def test_the_impersonated_are_completed_as_a_real_server_does(
    api: API, headers: dict[str, str], user: dict[str, Any]
) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await api.call("POST", path, {}, headers=headers)
    assert answer.json()["status"]["userInfo"] == user


async def test_the_anonymous_can_be_impersonated(api: API) -> None:
    for headers in (
        {"impersonate-user": "system:anonymous"},
        {"impersonate-user": "system:anonymous", "impersonate-group": "system:unauthenticated"},
    ):
        assert (await api.call("GET", "/healthz", headers=headers)).status_code == 200
        assert (await api.call("GET", "/api", headers=headers)).status_code == 403


async def test_impersonation_needs_a_permission_and_a_user(api: API, alice: API, cluster: Cluster) -> None:
    headers = {"impersonate-user": "bob"}
    answer = await alice.call("GET", "/api", headers=headers)
    assert failure(answer)[2] == (
        'users "bob" is forbidden: User "alice@example.com" cannot impersonate resource "users" in API group '
        '"" at the cluster scope'
    )
    allow(cluster, rule("users", "impersonate", resourceNames=["bob"]))
    assert (await alice.call("GET", "/api", headers=headers)).status_code == 200
    grouped = {**headers, "impersonate-group": "system:masters"}
    assert (await alice.call("GET", "/api", headers=grouped)).status_code == 403
    assert (await api.call("GET", "/api", headers={"impersonate-group": "g"})).status_code == 400
