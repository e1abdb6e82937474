"""`maasctl tiers`: check a mapping before it is applied, and see who gets what."""

from app.cli.tiers.command import create_tiers

__all__ = ["create_tiers"]
