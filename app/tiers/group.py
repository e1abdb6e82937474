"""The synthetic RBAC group of a tier."""

from __future__ import annotations


def tier_group(tier: str) -> str:
    """The group that stands for every holder of a tier in RoleBindings, such as ``maas:tier:free``."""
    return f"maas:tier:{tier}"
