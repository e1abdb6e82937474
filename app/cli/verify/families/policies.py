"""Is everything that should be enforced enforced?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.verify import limits
from app.cli.verify.check import Check, Outcome, failed, passed, skipped, verdict, warned
from app.cli.verify.families.mapping import mapping_of
from app.cli.verify.families.rbac import LIMIT_RULES, refused
from app.cli.verify.policies import Policy, place, policies_of

if TYPE_CHECKING:
    from app.cli.verify.session import Session

_AUTHORINOS = "authorinos.operator.authorino.kuadrant.io"
_LEAST_CACHE = 10
_DEFAULT_CACHE = 1


async def _profile(session: Session) -> Outcome:
    policies = await policies_of(session.view)
    profiles = sorted({policy.kind.profile for policy in policies})
    if not any(policy.kind.guards for policy in policies):
        return failed("no AuthPolicy and no SecurityPolicy is about the gateway or a route of it")
    return passed(f"{len(policies)} policies of the profile {' and '.join(profiles)}")


async def _accepted(session: Session) -> Outcome:
    return _all(await policies_of(session.view), "Accepted")


async def _enforced(session: Session) -> Outcome:
    return _all(await policies_of(session.view), "Enforced", "Programmed")


def _all(policies: list[Policy], *wanted: str) -> Outcome:
    problems = [problem for policy in policies for problem in policy.unmet(*wanted)]
    return verdict(problems, f"{len(policies)} of {len(policies)} are")


async def _covered(session: Session) -> Outcome:
    view = session.view
    policies, routes = await policies_of(view), await view.routes()
    guarded = {target for policy in policies if policy.kind.guards for target in policy.targets}
    whole = ("Gateway", view.namespace, view.gateway) in guarded
    places = [place(route) for route in routes]
    problems = [
        f"nothing guards the route {namespace}/{name}"
        for namespace, name in places
        if not whole and ("HTTPRoute", namespace, name) not in guarded
    ]
    # The gateway's own policy refuses everybody: what people call needs one that asks who they are.
    problems += [
        f"the route {view.namespace}/{name} has no policy of its own"
        for name in limits.ROUTES
        if ("HTTPRoute", view.namespace, name) not in guarded
    ]
    return verdict(problems, f"{len(routes)} routes are guarded")


async def _limits(session: Session) -> Outcome:
    mapping = await mapping_of(session.view)
    wanted = {tier.name: tier.requests_per_minute for tier in mapping.tiers if tier.requests_per_minute}
    policies, problems = await policies_of(session.view), []
    for name in limits.ROUTES:
        target = ("HTTPRoute", session.view.namespace, name)
        found: dict[str, float] = {}
        for policy in policies:
            if target in policy.targets:
                found |= limits.per_minute(policy.content)
        if not found:
            problems.append(f"nothing limits the route {name}")
            continue
        problems += [
            f"{name}: {_rate(found.get(tier))} for {tier}, where the mapping has {rate}"
            for tier, rate in wanted.items()
            if found.get(tier) != rate
        ]
    said = ", ".join(f"{tier} {rate}" for tier, rate in wanted.items())
    return verdict(problems, f"requests a minute: {said}")


async def _follow(session: Session) -> Outcome:
    if (mode := await session.view.limits_mode()) != "apply":
        return skipped(f"MAAS_LIMITS_MODE is {mode}")
    profiles = {policy.kind.profile for policy in await policies_of(session.view)}
    rules = [rule for profile in sorted(profiles) for rule in LIMIT_RULES[profile]]
    if problems := await refused(session.view, rules):
        return warned("; ".join(problems))
    return passed("it may")


def _rate(rate: float | None) -> str:
    return "no limit" if rate is None else f"{rate:g}"


async def _cache(session: Session) -> Outcome:
    policies = await policies_of(session.view)
    if not any(policy.kind.profile == "kuadrant" for policy in policies):
        return skipped("only Kuadrant's profile has an Authorino")
    found = await session.view.all(_AUTHORINOS, everywhere=True)
    if not found:
        return failed("there is no Authorino", "kubectl apply -k manifests/platform/kuadrant")
    sizes = {"/".join(place(each)): each["spec"].get("evaluatorCacheSize", _DEFAULT_CACHE) for each in found}
    small = [
        f"{name} has {size} MB, and a token needs {_LEAST_CACHE}"
        for name, size in sizes.items()
        if size < _LEAST_CACHE
    ]
    return verdict(small, ", ".join(f"{name} has {size} MB" for name, size in sizes.items()))


_OVERLAY = "{kubectl} apply -k manifests/overlays/openshift (or kubernetes)"

CHECKS = (
    Check(
        "policies.profile",
        "Is there anything that guards the gateway?",
        "the policies of both profiles that are about the Gateway or its routes",
        _OVERLAY,
        _profile,
        ("gateway.class",),
    ),
    Check(
        "policies.accepted",
        "Are all policies accepted?",
        "conditions of the policies",
        "{kubectl} describe the policy that is named: its conditions say which field or target is wrong",
        _accepted,
        ("policies.profile",),
    ),
    Check(
        "policies.enforced",
        "Are all policies enforced?",
        "conditions of the policies (Envoy Gateway enforces what it accepts)",
        "look at {kubectl} get kuadrant,authorino,limitador -n kuadrant-system, "
        "then {kubectl} logs -n kuadrant-system deployment/kuadrant-operator-controller-manager",
        _enforced,
        ("policies.profile",),
    ),
    Check(
        "policies.covered",
        "Does a policy guard every route?",
        "the HTTPRoutes, and the targets of policies",
        _OVERLAY,
        _covered,
        ("policies.profile",),
    ),
    Check(
        "policies.limits",
        "Are the limits those of the mapping?",
        "rate limits of the policies, and the tier mapping",
        "the service writes them within seconds, if it may (policies.follow): "
        "{kubectl} get events -n {namespace}, {kubectl} logs -n {namespace} deployment/maas-api",
        _limits,
        ("policies.profile", "mapping.valid"),
    ),
    Check(
        "policies.follow",
        "May the service make the limits follow the mapping?",
        "a SubjectAccessReview for each verb of manifests/policies/*/rbac.yaml",
        "{kubectl} apply -f manifests/policies/kuadrant/rbac.yaml (or envoy-gateway)",
        _follow,
        ("policies.profile",),
    ),
    Check(
        "policies.cache",
        "Does Authorino's cache hold a token?",
        "`evaluatorCacheSize` of the Authorinos",
        "{kubectl} apply -k manifests/platform/kuadrant",
        _cache,
        ("policies.profile",),
    ),
)
