from __future__ import annotations

import httpx
import pytest

from app.embedded.kubernetes import Cluster, User, create_app
from app.embedded.kubernetes.resources import Catalogue
from tests.unit.embedded.kubernetes.api import (
    API,
    CONFIG_MAPS,
    GROUPS,
    MODELS,
    SERVICE_ACCOUNTS,
    config_map,
    failure,
    service_account,
)

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def test_the_legacy_discovery_names_groups_and_resources(api: API) -> None:
    assert (await api.get("/api")).json()["versions"] == ["v1"]
    groups = {each["name"]: each for each in (await api.get("/apis")).json()["groups"]}
    assert groups["serving.kserve.io"]["preferredVersion"]["version"] == "v1beta1"
    assert [each["version"] for each in groups["serving.kserve.io"]["versions"]] == ["v1beta1", "v1alpha1"]
    one = (await api.get("/apis/serving.kserve.io")).json()
    assert (one["kind"], one["name"]) == ("APIGroup", "serving.kserve.io")
    core = {each["name"]: each for each in (await api.get("/api/v1")).json()["resources"]}
    assert core["serviceaccounts"]["shortNames"] == ["sa"]
    assert "deletecollection" in core["serviceaccounts"]["verbs"]
    assert core["serviceaccounts/token"] == {
        "name": "serviceaccounts/token",
        "singularName": "",
        "namespaced": True,
        "group": "authentication.k8s.io",
        "version": "v1",
        "kind": "TokenRequest",
        "verbs": ["create"],
    }
    assert core["namespaces/status"]["verbs"] == ["get", "patch", "update"]


async def test_the_aggregated_discovery_says_all_of_it_at_once(api: API) -> None:
    core = await api.show("/api", AGGREGATED)
    assert (
        core.headers["content-type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    (version,) = core.json()["items"][0]["versions"]
    found = {each["resource"]: each for each in version["resources"]}
    assert found["serviceaccounts"]["subresources"][0]["responseKind"]["kind"] == "TokenRequest"
    assert found["namespaces"]["scope"] == "Cluster"
    groups = (await api.show("/apis", AGGREGATED)).json()["items"]
    assert "user.openshift.io" in [each["metadata"]["name"] for each in groups]
    older = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    for accept in (older, "application/json", "application/json," + AGGREGATED):
        assert (await api.show("/api", accept)).json()["kind"] == "APIVersions"


async def test_openapi_says_what_kubectl_asks_for(api: API) -> None:
    index = (await api.get("/openapi/v3")).json()["paths"]
    document = (await api.get(index["apis/serving.kserve.io/v1beta1"]["serverRelativeURL"])).json()
    path = "/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices/{name}"
    patch = document["paths"][path]["patch"]
    assert {"dryRun", "fieldValidation"} <= {each["name"] for each in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "InferenceService"
    older = (await api.get("/openapi/v2")).json()
    assert path in older["paths"]
    assert (await api.get("/openapi/v3/apis/none/v1")).status_code == 404


async def test_the_version_is_that_of_the_imitated_server(api: API) -> None:
    assert (await api.get("/version")).json()["gitVersion"].startswith("v1.36.")


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/apis/none.example.com", "/apis/none.example.com/v1", "/apis/none.example.com/v1/things",
     "/apis/serving.kserve.io/v1beta1/things", "/api/v2"],
)  # fmt: skip
async def test_unknown_paths_answer_in_plain_text(api: API, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/things", "/api/v1/configmaps/x", f"{CONFIG_MAPS}/x/things", f"{CONFIG_MAPS}/x/status",
     "/apis/rbac.authorization.k8s.io/v1/namespaces/maas/clusterroles"],
)  # fmt: skip
async def test_unknown_resources_of_builtin_groups_answer_with_a_status(api: API, path: str) -> None:
    message = "the server could not find the requested resource"
    assert failure(await api.get(path)) == (404, "NotFound", message)


async def test_unknown_subresources_of_custom_resources_look_like_missing_objects(api: API) -> None:
    assert failure(await api.get(f"{GROUPS}/g/status"))[2] == 'groups.user.openshift.io "g" not found'


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("PUT", CONFIG_MAPS),
        ("POST", f"{CONFIG_MAPS}/x"),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews"),
        ("GET", f"{SERVICE_ACCOUNTS}/one/token"),
        ("POST", "/version"),
        ("DELETE", "/api"),
        ("TRACE", CONFIG_MAPS),
    ],
)
async def test_methods_that_are_not_served_are_not_allowed(api: API, method: str, path: str) -> None:
    code, reason, _ = failure(await api.call(method, path))
    assert (code, reason) == (405, "MethodNotAllowed")


async def test_a_cluster_without_a_crd_does_not_know_it() -> None:
    cluster = Cluster(
        issuer="x",
        users={"admin": User("admin", ("system:masters",))},
        catalogue=Catalogue().without("serving.kserve.io"),
    )
    transport = httpx.ASGITransport(create_app(cluster))
    async with httpx.AsyncClient(transport=transport, base_url="https://cluster.test") as client:
        api = API(client, "admin")
        assert (await api.get(MODELS)).text == "404 page not found\n"
        assert (await api.get("/apis/serving.kserve.io")).status_code == 404
        assert (await api.get("/api/v1/configmaps")).status_code == 200
    with pytest.raises(LookupError, match="InferenceService"):
        cluster.apply({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"})


async def test_head_is_answered_like_get(api: API) -> None:
    assert (await api.call("HEAD", "/healthz")).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "application/cbor"])
async def test_objects_are_json_or_nothing(api: API, accept: str) -> None:
    await api.create(SERVICE_ACCOUNTS, service_account())
    assert failure(await api.show(f"{SERVICE_ACCOUNTS}/one", accept))[:2] == (406, "NotAcceptable")


async def test_clients_that_prefer_another_form_get_json_if_they_take_it(api: API) -> None:
    await api.create(CONFIG_MAPS, config_map())
    for accept in (
        "application/vnd.kubernetes.protobuf,application/json",
        "application/json;as=Table;v=v2;g=meta.k8s.io, */*",
    ):
        assert (await api.show(CONFIG_MAPS, accept)).json()["kind"] == "ConfigMapList"
