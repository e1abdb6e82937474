"""From a change in the cluster until a service decides by it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.kube.resources import SERVICE_ACCOUNTS
from bench.http_load import Connection, LoadError, get

if TYPE_CHECKING:
    from bench.run import Bench
    from bench.subject import Subject

_TOO_LONG_SECONDS = 30


@dataclass
class Followed:
    """In seconds, since the API server had answered each change.

    Attributes:
        mappings: until the first decision by a new mapping.
        revocations: until the first refusal of a deleted token.
    """

    mappings: list[float] = field(default_factory=list)
    revocations: list[float] = field(default_factory=list)


async def follow(bench: Bench, subject: Subject, *, mappings: int, revocations: int) -> Followed:
    """Change the mapping and revoke tokens, one after the other, asking for a decision again and again.

    Raises:
        LoadError: a change never came into force.
    """
    followed = Followed()
    namespace, admin = subject.workspace.namespace, subject.workspace.cluster.admin
    connection = await Connection.open(subject.process.gateway)

    async def until(jwt: str, answered: bytes) -> float:
        request = get("/internal/authorize/v1/models", authorization=f"Bearer {jwt}")
        started = time.perf_counter()
        while answered not in await connection.exchange(request):
            if time.perf_counter() - started > _TOO_LONG_SECONDS:
                raise LoadError("a change never came into force")
        return time.perf_counter() - started

    for number in bench.each(f"new mappings, {subject.count:,} tokens", range(mappings)):
        group, tier = (("research", b"premium"), ("premium-users", b"free"))[number % 2]
        await subject.map_premium_to(group)
        named = b"\r\nx-maas-tier: %s\r\n" % tier
        followed.mappings.append(await until(subject.jwts[0], named))
    victims = list(zip(subject.tokens, subject.jwts, strict=True))[-revocations:]
    for token, jwt in bench.each(f"revocations, {subject.count:,} tokens", victims):
        await until(jwt, b"HTTP/1.1 200 ")
        await admin.delete(SERVICE_ACCOUNTS, token.id, namespace=namespace)
        followed.revocations.append(await until(jwt, b"HTTP/1.1 401 "))
    connection.close()
    return followed
