"""The sample people of the embedded cluster. Their tokens are published: they open nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to try the platform as."""

    token: str
    username: str
    groups: tuple[str, ...]
    about: str


PEOPLE = (
    Person("sha256~alice", "alice", (), "tier free, 10 requests a minute"),
    Person("sha256~bob", "bob", ("premium-users",), "tier premium, 100"),
    Person("sha256~carol", "carol", ("enterprise-users",), "tier enterprise, 1000"),
    Person("sha256~admin", "admin", ("system:masters",), "cluster admin"),
)
ADMIN_TOKEN = PEOPLE[-1].token
