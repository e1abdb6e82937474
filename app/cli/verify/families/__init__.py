"""Every check, in the order in which they run."""

from app.cli.verify.check import Check
from app.cli.verify.families import (
    audiences,
    cluster,
    gateway,
    journey,
    limit,
    mapping,
    metrics,
    policies,
    rbac,
)

CHECKS: tuple[Check, ...] = (
    *cluster.CHECKS,
    *mapping.CHECKS,
    *rbac.CHECKS,
    *gateway.CHECKS,
    *policies.CHECKS,
    *journey.SETTING_OUT,
    *metrics.BEFORE,
    *journey.TRAVELLING,
    *audiences.CHECKS,
    *limit.CHECKS,
    *metrics.AFTER,
    *journey.RETURNING,
)
"""The token is issued once, by the journey, and given back at the very end."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(check.family for check in CHECKS))
