"""What the gateway app should decide: the model that the randomised run compares it with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

Mapping = tuple[tuple[str, frozenset[str]], ...]
"""Tiers with their groups, the better one later."""


@dataclass
class Token:
    """A token that was issued.

    Attributes:
        jwt: the token itself.
        owner: whose it is.
        gone: whether it was revoked or has expired.
    """

    jwt: str
    owner: str
    gone: bool = False


@dataclass
class World:
    """What is true, or what a replica knows of it that has been cut off.

    Attributes:
        mapping: the one in force; None if there was no valid one yet.
        mappings: how many valid ones there have been.
        claims: groups by person, from the identity provider.
        groups: members of the Groups of the cluster.
        tokens: by id.
    """

    mapping: Mapping | None
    mappings: int = 1
    claims: dict[str, frozenset[str]] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)

    def decision(self, token_id: str) -> str:
        """The tier by which a token is let pass, or the code of its refusal."""
        if token_id not in self.tokens:
            return "upstream_unavailable"  # Issued while this replica was cut off: it has to ask, and cannot.
        token = self.tokens[token_id]
        if token.gone:
            return "invalid_api_key"
        if self.mapping is None:
            return "mapping_unavailable"
        member = {group for group, users in self.groups.items() if token.owner in users}
        has = (self.claims[token.owner] - self.groups.keys()) | member | {"system:authenticated"}
        return next((tier for tier, groups in reversed(self.mapping) if groups & has), "no_tier")

    def copy(self) -> World:
        """The same, which does not change with this one."""
        tokens = {token_id: replace(token) for token_id, token in self.tokens.items()}
        return replace(self, claims=dict(self.claims), groups=dict(self.groups), tokens=tokens)

    def live(self, owner: str) -> list[str]:
        """The ids of a person's tokens that are not gone."""
        return [
            token_id for token_id, token in self.tokens.items() if token.owner == owner and not token.gone
        ]
