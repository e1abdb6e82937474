"""Is there a gateway, with a certificate and with routes that lead somewhere?"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509

from app.cli import conditions
from app.cli.gateway.address import GATEWAYS
from app.cli.kubectl import NotFoundError
from app.cli.verify.check import Check, Outcome, failed, passed, skipped, verdict, warned
from app.cli.verify.view import GATEWAY_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.cli.verify.session import Session
    from app.cli.verify.view import View

ROUTES = ("maas-api", "maas-models", "maas-inference")
"""Those of manifests/gateway/routes.yaml."""

_SOON = timedelta(days=14)
# No load balancer: a Route or a port-forward leads to the gateway, which does no harm.
_NO_ADDRESS = "AddressNotAssigned"


async def _class(session: Session) -> Outcome:
    gateway = await _gateway(session.view)
    if gateway is None:
        return _missing(session.view)
    name = gateway["spec"]["gatewayClassName"]
    found = await session.view.one(GATEWAY_CLASSES, name)
    if found is None:
        return failed(f"there is no GatewayClass {name}, which the Gateway names")
    problems = conditions.unmet(found.get("status", {}).get("conditions"), "Accepted")
    return verdict(problems, f"{name}, by {found['spec']['controllerName']}")


async def _programmed(session: Session) -> Outcome:
    gateway = await _gateway(session.view)
    if gateway is None:
        return _missing(session.view)
    known = gateway.get("status", {}).get("conditions", [])
    programmed = conditions.find(known, "Programmed") or {}
    if programmed.get("reason") == _NO_ADDRESS:
        return warned(
            f"Programmed is {programmed.get('status')}: {_NO_ADDRESS}", "none, if a Route leads to it"
        )
    problems = conditions.unmet(known, "Accepted", "Programmed", generation=_generation(gateway))
    return verdict(problems, f"{conditions.title(gateway)} is programmed")


async def _listeners(session: Session) -> Outcome:
    gateway = await _gateway(session.view) or {}
    problems, attached = [], 0
    for listener in gateway.get("status", {}).get("listeners", ()):
        unmet = conditions.unmet(listener.get("conditions"), "Accepted", "ResolvedRefs", "Programmed")
        problems += [f"listener {listener['name']}: {problem}" for problem in unmet]
        attached += listener.get("attachedRoutes", 0)
    if not attached:
        problems.append("no route is attached to any listener")
    return verdict(problems, f"{attached} routes are attached")


async def _certificate(session: Session) -> Outcome:
    gateway = await _gateway(session.view) or {"spec": {"listeners": []}}
    references = [
        reference
        for listener in gateway["spec"]["listeners"]
        for reference in listener.get("tls", {}).get("certificateRefs", ())
    ]
    if not references:
        return skipped("no listener names a certificate")
    problems, ends = [], []
    for reference in references:
        name, namespace = reference["name"], reference.get("namespace", session.view.namespace)
        try:
            ends.append(await _end(session.view, name, namespace))
        except NotFoundError:
            problems.append(f"there is no Secret {namespace}/{name}")
        except ValueError:
            problems.append(f"the Secret {namespace}/{name} holds no certificate in tls.crt")
    now = datetime.now(UTC)
    problems += [f"the certificate has expired on {end:%Y-%m-%d}" for end in ends if end <= now]
    if not problems and min(ends) <= now + _SOON:
        return warned(f"the certificate expires on {min(ends):%Y-%m-%d}")
    return verdict(problems, f"valid until {min(ends):%Y-%m-%d}" if ends else "")


async def _end(view: View, name: str, namespace: str) -> datetime:
    """When a certificate ends. Only the certificate is printed, never the key."""
    output = r"--output=jsonpath={.data.tls\.crt}"
    encoded = await view.kubectl.text("get", "secret", name, f"--namespace={namespace}", output)
    try:
        pem = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


async def _routes(session: Session) -> Outcome:
    view, routes = session.view, await session.view.routes()
    ours = {route["metadata"]["name"] for route in routes if route["metadata"]["namespace"] == view.namespace}
    problems = [f"there is no HTTPRoute {view.namespace}/{name}" for name in ROUTES if name not in ours]
    for route in routes:
        problems += [f"{conditions.title(route)}: {problem}" for problem in _unmet(view, route)]
    return verdict(problems, f"{len(routes)} routes are accepted")


def _unmet(view: View, route: dict[str, Any]) -> Iterator[str]:
    parents = [
        parent
        for parent in route.get("status", {}).get("parents", ())
        if view.is_parent(route, parent["parentRef"])
    ]
    generation = _generation(route)
    for parent in parents or [{}]:
        yield from conditions.unmet(
            parent.get("conditions"), "Accepted", "ResolvedRefs", generation=generation
        )


async def _models(session: Session) -> Outcome:
    models = await session.view.models()
    if not models:
        return skipped("there is no InferenceService and no LLMInferenceService")
    routed = {value for route in await session.view.routes() for value in _values(route)}
    without = [
        conditions.title(model)
        for model in models
        if not routed & {model["metadata"]["name"], "{namespace}/{name}".format(**model["metadata"])}
    ]
    if without:
        return warned(f"nothing leads to {', '.join(without)}")
    return passed(f"{len(models)} have one")


def _values(route: dict[str, Any]) -> Iterator[str]:
    """The models whose requests a route takes."""
    for rule in route["spec"].get("rules", ()):
        for match in rule.get("matches", ()):
            for header in match.get("headers", ()):
                if header["name"].lower() == "x-maas-model":
                    yield header["value"]


async def _gateway(view: View) -> dict[str, Any] | None:
    return await view.one(GATEWAYS, view.gateway)


def _missing(view: View) -> Outcome:
    return failed(f"there is no Gateway {view.gateway} in the namespace {view.namespace}")


def _generation(thing: dict[str, Any]) -> int | None:
    generation: int | None = thing["metadata"].get("generation")
    return generation


_APPLY = "{kubectl} apply -k manifests/overlays/openshift (or kubernetes)"

CHECKS = (
    Check(
        "gateway.class",
        "Does a controller take care of the Gateway's class?",
        "the Gateway and its GatewayClass",
        f"{_APPLY}; is the gateway's controller installed? docs/install.md, docs/kubernetes.md",
        _class,
        ("cluster.whole",),
    ),
    Check(
        "gateway.programmed",
        "Is the gateway there?",
        "conditions of the Gateway",
        "{kubectl} describe gateway {gateway} -n {namespace}",
        _programmed,
        ("gateway.class",),
    ),
    Check(
        "gateway.listeners",
        "Does every listener work, and do routes use it?",
        "conditions of the Gateway's listeners",
        "{kubectl} get gateway {gateway} -n {namespace} -o yaml; "
        "{kubectl} label namespace NAME maas.opendatahub.io/gateway-routes=allowed",
        _listeners,
        ("gateway.programmed",),
    ),
    Check(
        "gateway.certificate",
        "Is there a certificate, and for how long?",
        "`tls.crt` of the Secret that the Gateway names; never the key",
        "{kubectl} describe certificate -n {namespace}, or bring one: docs/install.md#certificates",
        _certificate,
        ("gateway.class",),
    ),
    Check(
        "gateway.routes",
        "Are all routes accepted, and do they lead somewhere?",
        "the HTTPRoutes whose parent is the Gateway",
        "{kubectl} get httproutes -A -o yaml; their conditions say what is wrong",
        _routes,
        ("gateway.class",),
    ),
    Check(
        "gateway.models",
        "Does every model have a route?",
        "the models, and the values of `x-maas-model` in HTTPRoutes",
        "add an HTTPRoute like that of manifests/models/your-own-model: docs/models.md",
        _models,
        ("gateway.class",),
    ),
)
