"""May the service do what it needs, and may the tiers call a model?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.cli.verify.check import Check, Outcome, skipped, verdict, warned
from app.cli.verify.families.mapping import mapping_of
from app.cli.verify.view import SERVICE
from app.tiers.group import tier_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.cli.verify.session import Session
    from app.cli.verify.view import View

_MOST_MODELS = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of manifests/base/rbac.yaml; a test holds the two together.

    Attributes:
        namespaced: whether it holds in the platform's namespace only.
        name: the one object that it is about; empty for all.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    namespaced: bool = False
    name: str = ""


RULES = (
    Rule("", "serviceaccounts", ("create", "get", "list", "watch", "patch", "delete"), namespaced=True),
    Rule("", "serviceaccounts/token", ("create",), namespaced=True),
    Rule("", "configmaps", ("list", "watch"), namespaced=True, name="tier-to-group-mapping"),
    Rule("", "configmaps", ("list", "watch"), namespaced=True, name="maas-pricing"),
    Rule("coordination.k8s.io", "leases", ("get", "update"), namespaced=True, name="maas-api"),
    Rule("coordination.k8s.io", "leases", ("create",), namespaced=True),
    Rule("", "events", ("create", "get", "patch"), namespaced=True),
    Rule("authentication.k8s.io", "tokenreviews", ("create",)),
    Rule("authorization.k8s.io", "subjectaccessreviews", ("create",)),
    Rule("serving.kserve.io", "inferenceservices", ("list", "watch")),
    Rule("serving.kserve.io", "llminferenceservices", ("list", "watch")),
    Rule("user.openshift.io", "groups", ("list", "watch")),
)

_FOLLOW = ("get", "list", "watch", "patch")
LIMIT_RULES = {
    "kuadrant": (
        Rule("kuadrant.io", "ratelimitpolicies", _FOLLOW, namespaced=True, name="maas-inference"),
        Rule("kuadrant.io", "ratelimitpolicies", _FOLLOW, namespaced=True, name="maas-models"),
        Rule("kuadrant.io", "tokenratelimitpolicies", _FOLLOW, namespaced=True, name="maas-inference"),
    ),
    "envoy-gateway": (
        Rule(
            "gateway.envoyproxy.io", "backendtrafficpolicies", _FOLLOW, namespaced=True, name="maas-inference"
        ),
        Rule("gateway.envoyproxy.io", "backendtrafficpolicies", _FOLLOW, namespaced=True, name="maas-models"),
    ),
}
"""Those of manifests/policies/*/rbac.yaml, by profile: with them the limits follow the mapping."""


async def refused(view: View, rules: Iterable[Rule]) -> list[str]:
    """What the service may not do of what these rules allow; may raise a KubectlError."""
    namespace = view.namespace
    user = f"system:serviceaccount:{namespace}:{SERVICE}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    asked = [(rule, verb) for rule in rules for verb in rule.verbs]
    reviews = [
        _review(user, groups, _attributes(rule, verb, namespace if rule.namespaced else ""))
        for rule, verb in asked
    ]
    allowed = await _allowed(view, reviews)
    return [
        _sentence(rule, verb, namespace) for (rule, verb), yes in zip(asked, allowed, strict=True) if not yes
    ]


async def _service(session: Session) -> Outcome:
    count = sum(len(rule.verbs) for rule in RULES)
    return verdict(await refused(session.view, RULES), f"it may do all {count} things that it needs")


async def _tiers(session: Session) -> Outcome:
    mapping, models = await mapping_of(session.view), (await session.view.models())[:_MOST_MODELS]
    if not models:
        return skipped("there is no InferenceService and no LLMInferenceService")
    reviews = [
        _review("nobody", [tier_group(tier.name), *tier.groups], _model_attributes(model))
        for tier in mapping.tiers
        for model in models
    ]
    allowed = iter(await _allowed(session.view, reviews))
    counts = {tier.name: sum(next(allowed) for _ in models) for tier in mapping.tiers}
    if empty := [name for name, count in counts.items() if not count]:
        return warned(f"no model is open to: {', '.join(empty)}")
    return verdict((), "; ".join(f"{name} may call {count}" for name, count in counts.items()))


def _attributes(rule: Rule, verb: str, namespace: str) -> dict[str, str]:
    resource, _, subresource = rule.resource.partition("/")
    return {
        "verb": verb,
        "group": rule.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": namespace,
        "name": rule.name,
    }


def _model_attributes(model: dict[str, Any]) -> dict[str, str]:
    kind, metadata = model["kind"], model["metadata"]
    return {
        "verb": "get",
        "group": "serving.kserve.io",
        "resource": f"{kind.lower()}s",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
    }


def _sentence(rule: Rule, verb: str, namespace: str) -> str:
    resource = f"{rule.resource}.{rule.group}" if rule.group else rule.resource
    name = f" {rule.name}" if rule.name else ""
    return f"may not {verb} {resource}{name}" + (f" in {namespace}" if rule.namespaced else "")


def _review(user: str, groups: Sequence[str], attributes: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes},
    }


async def _allowed(view: View, reviews: Sequence[dict[str, Any]]) -> list[bool]:
    """The answers to SubjectAccessReviews, all in one call; a KubectlError if they may not be asked."""
    printed = await view.kubectl.text(
        "create",
        "--validate=false",
        "--filename=-",
        '--output=jsonpath={.status.allowed}{"\\n"}',
        stdin="\n".join(map(json.dumps, reviews)),
    )
    return list(_answers(printed, len(reviews)))


def _answers(printed: str, count: int) -> Iterator[bool]:
    lines = printed.split()
    assert len(lines) == count, "an answer for each review"  # noqa: S101  # else kubectl would have failed
    for line in lines:
        yield line == "true"


CHECKS = (
    Check(
        "rbac.service",
        "May the service do all that it needs?",
        "a SubjectAccessReview for each verb of manifests/base/rbac.yaml",
        "{kubectl} apply -f manifests/base/rbac.yaml; every rule there says what it is for",
        _service,
        ("cluster.reachable",),
    ),
    Check(
        "rbac.tiers",
        "Does every tier have a model that it may call?",
        "a SubjectAccessReview for each tier and model",
        "bind the group of the tier, maas:tier:NAME, to a role that may get the model: docs/models.md",
        _tiers,
        ("mapping.valid",),
    ),
)
