"""Tiers: which groups belong to which tier, read from the ConfigMap `tier-to-group-mapping`."""
