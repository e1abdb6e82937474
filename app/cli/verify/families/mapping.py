"""Who gets what: can it be read?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.verify.check import Check, Outcome, failed, passed
from app.tiers.errors import MappingError
from app.tiers.parser import parse_mapping

if TYPE_CHECKING:
    from app.cli.verify.session import Session
    from app.cli.verify.view import View
    from app.tiers.mapping import Tier, TierMapping


async def mapping_of(view: View) -> TierMapping:
    """The tier mapping, as the service would read it.

    Raises:
        MappingError: it cannot be read, or is not there.
        KubectlError: the cluster cannot be asked.
    """
    config_map = await view.one("configmaps", await view.config_map())
    return parse_mapping(config_map.get("data") if config_map else None)


async def _valid(session: Session) -> Outcome:
    name = await session.view.config_map()
    if await session.view.one("configmaps", name) is None:
        return failed(f"there is no ConfigMap {name} in the namespace {session.view.namespace}")
    try:
        mapping = await mapping_of(session.view)
    except MappingError as error:
        return failed(str(error))
    return passed(", ".join(_described(tier) for tier in mapping.tiers))


def _described(tier: Tier) -> str:
    rate = tier.requests_per_minute
    return f"{tier.name} ({rate} requests a minute)" if rate else tier.name


CHECKS = (
    Check(
        "mapping.valid",
        "Can the tier mapping be read?",
        "the ConfigMap tier-to-group-mapping",
        "{kubectl} edit configmap tier-to-group-mapping -n {namespace}; docs/tiers.md has what it may hold",
        _valid,
        ("cluster.reachable",),
    ),
)
