"""The synthetic RBAC group of a tier."""

from __future__ import annotations

TIER_GROUPS = "maas:tier:"
"""What the names of all of them begin with."""


def tier_group(tier: str) -> str:
    """The group that stands for every holder of a tier in RoleBindings, such as ``maas:tier:free``."""
    return f"{TIER_GROUPS}{tier}"
