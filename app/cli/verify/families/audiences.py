"""Do those who issue tokens and those who check them mean the same audience?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from app.cli import conditions
from app.cli.verify import limits
from app.cli.verify.check import Check, Outcome, failed, passed, skipped, verdict
from app.cli.verify.policies import policies_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.cli.verify.session import Session


async def _policies(session: Session) -> Outcome:
    wanted = await session.view.audience()
    checked, problems = 0, []
    routes = {("HTTPRoute", session.view.namespace, name) for name in limits.ROUTES}
    for policy in await policies_of(session.view):
        if policy.content["kind"] != "AuthPolicy" or not policy.targets & routes:
            continue
        for audiences in _audiences(policy.content["spec"]):
            checked += 1
            if audiences != [wanted]:
                named = ", ".join(audiences) or "none"
                problems.append(
                    f"{conditions.title(policy.content)} wants {named}; the service issues {wanted}"
                )
    if not checked:
        return skipped("no policy checks audiences here: the service itself does")
    return verdict(problems, f"{wanted}, in {checked} policies and in the service")


def _audiences(spec: dict[str, Any]) -> Iterator[list[str]]:
    for part in (spec, spec.get("defaults", {}), spec.get("overrides", {})):
        for way in part.get("rules", {}).get("authentication", {}).values():
            if (review := way.get("kubernetesTokenReview")) is not None:
                yield review.get("audiences", [])


async def _token(session: Session) -> Outcome:
    claims = jwt.decode(session.journey.token, options={"verify_signature": False})
    audience = claims.get("aud", [])
    found = [audience] if isinstance(audience, str) else list(audience)
    if await session.view.embedded():
        return passed(f"{', '.join(found)}; the service, which checks it, runs outside of the cluster")
    wanted = await session.view.audience()
    if found != [wanted]:
        return failed(f"the token is for {', '.join(found)}, where the Deployment says {wanted}")
    return passed(wanted)


_FIX = (
    "one name in MAAS_TOKENS_AUDIENCE of the Deployment maas-api and in `audiences` of the AuthPolicies: "
    "{kubectl} edit authpolicy maas-inference maas-models -n {namespace}"
)

CHECKS = (
    Check(
        "audiences.policies",
        "Do the policies expect the audience that the service issues?",
        "`audiences` of the AuthPolicies, MAAS_TOKENS_AUDIENCE of the Deployment",
        _FIX,
        _policies,
        ("policies.profile",),
    ),
    Check(
        "audiences.token",
        "Is the token that was issued for that audience?",
        "`aud` of the token",
        _FIX,
        _token,
        ("journey.issued", "cluster.reachable"),
    ),
)
