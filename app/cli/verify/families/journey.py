"""Does it work? The way of a user, through the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from app.cli.gateway.caller import caller_token
from app.cli.verify import answers
from app.cli.verify.check import Check, Outcome, failed, passed, verdict, warned
from app.cli.verify.journey import NAME, SHORTEST
from app.kube.caller_token import NoCallerTokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.cli.verify.session import Session

# What a client may try to be: somebody else, of another tier, asking another model.
_SPOOFED = {
    "x-maas-user": "somebody-else",
    "x-maas-tier": "enterprise",
    "x-maas-model": "no-such-model",
    "x-forwarded-user": "somebody-else",
    "x-remote-user": "somebody-else",
}
# The model itself does not chat: what vLLM says where there is no chat template, and paths it does not have.
_NO_CHAT = (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
_OURS = ("model_not_found", "model_forbidden", "invalid_request", "not_found")


async def _address(session: Session) -> Outcome:
    options = session.options
    url = options.gateway_url or await session.view.gateway_url()
    if not url:
        return failed("neither a Route nor the Gateway's status has an address of the gateway")
    try:
        session.journey.open(url, ca_file=options.ca_file, insecure=options.insecure)
    except OSError as error:
        return failed(
            f"{options.ca_file} cannot be used: {error}", "name a file of PEM certificates: --cacert"
        )
    response = await session.journey.request("GET", "/maas-api/healthz")
    if response.status_code != httpx.codes.OK:
        return failed(f"{url} answers {answers.line(response)}")
    return passed(f"{url} leads to the service")


async def _ready(session: Session) -> Outcome:
    document = answers.body(response := await session.journey.request("GET", "/maas-api/readyz"))
    said = "; ".join(document.get("problems", ())) or answers.line(response)
    if document.get("status") == "degraded":
        return warned(said)
    return passed("it is") if document.get("status") == "ok" else failed(said)


async def _tier(session: Session) -> Outcome:
    journey, options = session.journey, session.options
    try:
        journey.caller_token, source = await caller_token(
            options.token_file, options.kubeconfig, options.context
        )
    except NoCallerTokenError as error:
        return failed(f"there is no caller token: {error}")
    except (OSError, UnicodeDecodeError) as error:
        return failed(f"{options.token_file} cannot be read: {error}")
    response = await journey.as_caller("GET", "/maas-api/tier")
    if response.status_code != httpx.codes.OK:
        return failed(f"the caller token of {source}: {answers.line(response)}")
    journey.tier = answers.body(response)
    return passed(f"{journey.tier['tier']}, by the caller token of {source}")


async def _issued(session: Session) -> Outcome:
    response = await session.journey.issue()
    if response.status_code != httpx.codes.CREATED:
        return failed(answers.line(response))
    issued = answers.body(response)
    return passed(f"{issued['id']}, of tier {issued['tier']}, until {issued['expiresAt']}")


async def _models(session: Session) -> Outcome:
    response = await session.journey.as_holder("GET", "/v1/models")
    if response.status_code != httpx.codes.OK:
        return failed(answers.line(response))
    session.journey.models = answers.body(response)["data"]
    names = [model["id"] for model in session.journey.models]
    return passed(", ".join(names)) if names else failed("the list is empty: the caller may use no model")


async def _answered(session: Session) -> Outcome:
    journey, wish = session.journey, session.options.model
    ready = [model["id"] for model in journey.models if model.get("ready")]
    if not wish and not ready:
        return failed("no model is ready")
    model = wish or ready[0]
    response = await journey.ask(model)
    if response.status_code in _NO_CHAT and answers.code(response) not in _OURS:
        question = {"model": model, "prompt": "Hello!", "max_tokens": 1}
        response = await journey.as_holder("POST", "/v1/completions", json=question)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return failed(
            f"{model}: {answers.line(response)}", "wait a minute, or ask with another caller's token"
        )
    if response.status_code != httpx.codes.OK:
        return failed(f"{model}: {answers.line(response)}")
    if not answers.body(response).get("choices"):
        return failed(f"{model} answers 200 without `choices`: is that a model?")
    journey.model, journey.limit_shown = model, response.headers.get("x-ratelimit-limit", "")
    return passed(f"{model}, in {response.elapsed.total_seconds():.2f} s")


async def _anonymous(session: Session) -> Outcome:
    return await _nobody(session, "a request without a token", "")


async def _forged(session: Session) -> Outcome:
    head, claims, signature = session.journey.token.split(".")
    # The same claims, with another signature of the same length: the middle, where every character counts.
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    forged = ".".join((head, claims, signature[:middle] + other + signature[middle + 1 :]))
    return await _nobody(session, "a token with a false signature", forged)


async def _caller_refused(session: Session) -> Outcome:
    return await _nobody(session, "a caller token", session.journey.caller_token)


async def _nobody(session: Session, what: str, token: str) -> Outcome:
    response = await session.journey.request("GET", "/v1/models", token=token)
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return failed(f"{what} is answered {answers.line(response)}")
    return passed(f"{what} is answered 401")


async def _spoofed(session: Session) -> Outcome:
    journey, problems = session.journey, []
    nobody = await journey.request("GET", "/v1/models", headers=_SPOOFED)
    if nobody.status_code != httpx.codes.UNAUTHORIZED:
        problems.append(f"headers alone are answered {answers.line(nobody)}")
    listed = await journey.as_holder("GET", "/v1/models", headers=_SPOOFED)
    if _ids(answers.body(listed).get("data", ())) != _ids(journey.models):
        problems.append(f"they change the list of models: {answers.line(listed)}")
    asked = await journey.ask(journey.model, headers=_SPOOFED)
    if asked.status_code == httpx.codes.NOT_FOUND and answers.code(asked) == "model_not_found":
        problems.append("they choose the model")
    limit = asked.headers.get("x-ratelimit-limit", "")
    if asked.status_code == httpx.codes.OK and limit != journey.limit_shown:
        problems.append(f"they change the limit from {journey.limit_shown} to {limit}")
    return verdict(problems, "headers that name a user, a tier or a model change nothing")


def _ids(models: Iterable[dict[str, Any]]) -> set[str]:
    return {model["id"] for model in models}


async def _revoked(session: Session) -> Outcome:
    response = await session.journey.revoke()
    if response.status_code != httpx.codes.NO_CONTENT:
        return failed(answers.line(response))
    seconds = await session.journey.refused_after()
    if seconds is None:
        return failed("a second after it was revoked, the token still passes")
    return passed(f"refused {seconds:.2f} s after")


_LOG = "{kubectl} logs -n {namespace} deployment/maas-api"
_APPLY = "{kubectl} apply -k manifests/overlays/openshift (or kubernetes): its policies and routes, unchanged"

SETTING_OUT = (
    Check(
        "journey.address",
        "Does the gateway lead to the service?",
        "the Route or the Gateway's status, then GET /maas-api/healthz",
        "say where it is: --gateway https://HOST[:PORT], perhaps that of a port-forward (docs/kubernetes.md)",
        _address,
    ),
    Check(
        "journey.ready",
        "Is the service ready?",
        "GET /maas-api/readyz",
        _LOG,
        _ready,
        ("journey.address",),
    ),
    Check(
        "journey.tier",
        "Does the cluster accept the caller token, and do its groups have a tier?",
        "GET /maas-api/tier",
        "log in, or name a file with a caller token: --token-file; "
        "for a tier, put one of the caller's groups into the ConfigMap tier-to-group-mapping",
        _tier,
        ("journey.address",),
    ),
)

TRAVELLING = (
    Check(
        "journey.issued",
        "Is a token issued?",
        f"POST /maas-api/token, for a token `{NAME}` that lives {SHORTEST}",
        f"the code says it: docs/guide.md#errors; or {_LOG}",
        _issued,
        ("journey.tier",),
    ),
    Check(
        "journey.models",
        "Does the token open the list of models?",
        "GET /v1/models",
        "docs/models.md#say-who-may-call-it",
        _models,
        ("journey.issued",),
    ),
    Check(
        "journey.answered",
        "Does a model answer?",
        "POST /v1/chat/completions with `max_tokens` 1 (or /v1/completions, if the model does not chat)",
        "{kubectl} get inferenceservices,llminferenceservices,httproutes -A; --model chooses another one",
        _answered,
        ("journey.models",),
    ),
    Check(
        "journey.anonymous",
        "Is whoever has no token refused?",
        "GET /v1/models without a token",
        _APPLY,
        _anonymous,
        ("journey.address",),
    ),
    Check(
        "journey.forged",
        "Is a forged token refused?",
        "GET /v1/models with a token whose signature was changed",
        _APPLY,
        _forged,
        ("journey.issued",),
    ),
    Check(
        "journey.caller",
        "Is a caller token refused where a MaaS token is wanted?",
        "GET /v1/models with the caller token",
        _APPLY,
        _caller_refused,
        ("journey.tier",),
    ),
    Check(
        "journey.spoofed",
        "Are headers that clients make up ignored?",
        "the same requests with x-maas-user, x-maas-tier, x-maas-model and others",
        f"{_APPLY}; client-traffic.yaml and policies/istio remove such headers",
        _spoofed,
        ("journey.answered",),
    ),
)

RETURNING = (
    Check(
        "journey.revoked",
        "Is a revoked token refused within a second?",
        "DELETE /maas-api/tokens/{id}, then GET /v1/models",
        f"{_LOG}: does it watch ServiceAccounts? With Kuadrant: does AuthPolicy maas-models ask the service?",
        _revoked,
        ("journey.issued",),
    ),
)
