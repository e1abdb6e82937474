"""Which policies each profile of the manifests ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.limits import envoy_gateway, kuadrant

if TYPE_CHECKING:
    from app.limits.policy import Policy

PROFILES: Final[dict[str, tuple[Policy, ...]]] = {
    "kuadrant": kuadrant.POLICIES,
    "envoy-gateway": envoy_gateway.POLICIES,
}


def policies_of(profile: str) -> tuple[Policy, ...]:
    """The policies of a profile; those of all for ``auto``."""
    if profile == "auto":
        return tuple(policy for policies in PROFILES.values() for policy in policies)
    return PROFILES[profile]
