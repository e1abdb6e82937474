"""Puts many MaaS tokens into a real cluster at once, by writing their ServiceAccounts into its etcd.

The API server would take minutes to create as many. What is written is a copy of one that it did create, its
managedFields included, so each object is as large as a real one.
"""

from __future__ import annotations

import base64
import copy
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from app.kube.resources import SERVICE_ACCOUNTS
from app.tokens.names import owner_label
from app.tokens.record import GROUPS_ANNOTATION, OWNER_LABEL, USERNAME_ANNOTATION, service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.kube.client import KubeClient

_GROUPS = ("research", "system:authenticated:oauth", "system:authenticated")
_TEAMS = 200
_TEMPLATE = "template-sa-1"
# etcd takes 128 operations in one transaction, and 1.5 MiB.
_AT_ONCE = 100
_FIRST_TIMESTAMP = 1_795_000_000_000


@dataclass(frozen=True)
class Token:
    """A token's ServiceAccount and its owner."""

    id: str
    owner: str


def tokens(count: int, *, owners: int, measured: int, each: int) -> Iterator[Token]:
    """`count` tokens: `each` for every one of the `measured` people, the others spread over `owners`."""
    for number in range(count):
        mine = number < measured * each
        owner = f"measured-{number // each}" if mine else f"user-{number % owners}"
        yield Token(f"{owner}-sa-{_FIRST_TIMESTAMP + number}", f"{owner}@example.com")


async def put(
    etcd_url: str,
    admin: KubeClient,
    namespace: str,
    wanted: list[Token],
    *,
    expires_at: int,
    advance: Callable[[int], None],
) -> int:
    """Write the ServiceAccounts, tell `advance` how many each time; returns the size of one in bytes."""
    template = await _template(admin, namespace, expires_at)
    async with aiohttp.ClientSession(etcd_url) as session:
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            writes = [_write(namespace, _copy(template, token)) for token in some]
            async with session.post("/v3/kv/txn", data=orjson.dumps({"success": writes})) as response:
                response.raise_for_status()
            advance(len(some))
    return len(orjson.dumps(template))


async def _template(admin: KubeClient, namespace: str, expires_at: int) -> dict[str, Any]:
    body = service_account(
        token_id=_TEMPLATE,
        namespace=namespace,
        owner="template@example.com",
        groups=_GROUPS,
        cluster_groups=(),
        tier="free",
        name="laptop",
        expires_at=expires_at,
        issue="0123456789abcdef",
    )
    made = await admin.create(SERVICE_ACCOUNTS, body, namespace=namespace)
    await admin.delete(SERVICE_ACCOUNTS, _TEMPLATE, namespace=namespace)
    # The API server keeps it in the revision that etcd gives, not in what is stored.
    del made["metadata"]["resourceVersion"]
    return made


def _copy(template: dict[str, Any], token: Token) -> dict[str, Any]:
    obj = copy.deepcopy(template)
    metadata = obj["metadata"]
    metadata["name"], metadata["uid"] = token.id, str(uuid.uuid4())
    metadata["labels"][OWNER_LABEL] = owner_label(token.owner)
    metadata["annotations"][USERNAME_ANNOTATION] = token.owner
    team = f"team-{zlib.crc32(token.owner.encode()) % _TEAMS}"
    metadata["annotations"][GROUPS_ANNOTATION] = orjson.dumps((team, *_GROUPS)).decode()
    return obj


def _write(namespace: str, obj: dict[str, Any]) -> dict[str, Any]:
    key = f"/registry/serviceaccounts/{namespace}/{obj['metadata']['name']}"
    return {
        "requestPut": {
            "key": base64.b64encode(key.encode()).decode(),
            "value": base64.b64encode(orjson.dumps(obj)).decode(),
        }
    }
