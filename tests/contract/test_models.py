"""GET /v1/models, and what has no route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.kube.resources import INFERENCE_SERVICES, LLM_INFERENCE_SERVICES
from tests.workspace import FREE, PREMIUM, Caller, eventually

if TYPE_CHECKING:
    from tests.workspace import Replica


async def test_everyone_sees_the_models_they_may_use(maas: Replica) -> None:
    free = await maas.workspace.model("qwen3", FREE, PREMIUM)
    llm = await maas.workspace.model("mixtral", PREMIUM, resource=LLM_INFERENCE_SERVICES)
    await maas.known(free, llm)
    alice, bob = await maas.caller("alice"), await maas.caller("bob", "premium-users")
    for caller, models in ((alice, {free}), (bob, {free, llm})):
        holder = Caller(maas.public, (await caller.issued())["token"])
        document = (await holder.get("/v1/models")).json()
        assert document["object"] == "list"
        mine = {model["id"] for model in document["data"]}
        assert mine & {free, llm} == models
        assert all(model["object"] == "model" for model in document["data"])


async def test_one_model_can_be_looked_at_by_who_may_use_it(maas: Replica) -> None:
    free = await maas.workspace.model("qwen3", FREE)
    secret = await maas.workspace.model("granite", PREMIUM)
    await maas.known(free, secret)
    alice = await maas.caller("alice")
    holder = Caller(maas.public, (await alice.issued())["token"])
    shown = (await holder.get(f"/v1/models/{free}")).json()
    assert shown["id"] == free
    assert shown["owned_by"] == maas.workspace.namespace
    hidden = await holder.get(f"/v1/models/{secret}")
    assert hidden.status_code == 404
    assert hidden.json()["error"]["code"] == "model_not_found"


async def test_a_model_appears_and_disappears_with_its_resource(maas: Replica) -> None:
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
    await admin.delete(INFERENCE_SERVICES, model, namespace=namespace)
    await eventually(lambda: maas.service.catalogue.get(model) is None, seconds=1)


async def test_listing_models_needs_a_maas_token(maas: Replica) -> None:
    token = await maas.workspace.person("alice")
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        response = await maas.public.get("/v1/models", headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"


async def test_two_different_tokens_are_an_error_here_too(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob")
    tokens = [(await caller.issued())["token"] for caller in (alice, bob)]
    headers = [("Authorization", f"Bearer {token}") for token in tokens]
    response = await maas.public.get("/v1/models", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "conflicting_tokens"
    assert (await maas.public.get("/v1/models", headers=[headers[0]] * 2)).status_code == 200


async def test_what_the_gateway_has_no_route_for_is_an_unknown_model(maas: Replica) -> None:
    alice = await maas.caller("alice")
    holder = Caller(maas.public, (await alice.issued())["token"])
    response = await holder.request(
        "POST", "/v1/chat/completions", json={"model": "x"}, headers={"x-maas-model": "gone"}
    )
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'gone'" in response.json()["error"]["message"]
