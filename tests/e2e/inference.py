"""Requests to models through a gateway, and what is behind it in every profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from tests.workspace import Caller

CHAT = "/v1/chat/completions"
MODELS = ("simulator", "qwen3", "facebook-opt-125m", "granite-7b")
# What someone may add to a namespace whose routes are allowed, without a policy for it.
STRAY_ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "stray", "namespace": "sample-models"},
    "spec": {
        "parentRefs": [{"name": "maas-default-gateway", "namespace": "maas"}],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/stray"}}],
                "backendRefs": [{"name": "qwen3-predictor", "port": 80}],
            }
        ],
    },
}


async def chat(holder: Caller, model: str = "qwen3", **options: Any) -> httpx.Response:
    headers = options.pop("headers", {})
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **options}
    return await holder.request("POST", CHAT, json=body, headers=headers)


async def statuses(holder: Caller, count: int, *models: str) -> list[int]:
    """Those of as many requests, to the models in turn."""
    return [(await chat(holder, models[number % len(models)])).status_code for number in range(count)]


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error in an answer of OpenAI's shape."""
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    return error


def headers_seen_by_the_model(response: httpx.Response) -> dict[str, str]:
    """What a model was sent that answers with what it is sent."""
    assert response.status_code == 200, response.text
    assert response.json()["by"] == "model"
    seen: list[tuple[str, str]] = response.json()["headers"]
    return {name: value for name, value in seen}  # noqa: C416  # pairs from JSON are lists
