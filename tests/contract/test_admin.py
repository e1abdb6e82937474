"""Other people's tokens, for those whom RBAC allows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.workspace import ROLE_BINDINGS, ROLES, Caller, eventually

if TYPE_CHECKING:
    from tests.workspace import Replica


async def admin_of(maas: Replica, *verbs: str) -> Caller:
    """A caller who may do this to ServiceAccounts in the namespace."""
    admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
    name = f"token-{'-'.join(verbs)}"
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": list(verbs)}
    metadata = {"name": name, "namespace": namespace}
    await admin.create(
        ROLES,
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        namespace=namespace,
    )
    await admin.create(
        ROLE_BINDINGS,
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": name}],
        },
        namespace=namespace,
    )
    return await maas.caller(name)


async def test_who_may_list_service_accounts_sees_everybodys_tokens(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob", "premium-users")
    first, second = await alice.issued(), await bob.issued()
    admin = await admin_of(maas, "list")

    async def listed() -> bool:
        response = await admin.get("/maas-api/admin/tokens")
        return response.status_code == 200

    await eventually(listed)
    tokens = (await admin.get("/maas-api/admin/tokens")).json()["tokens"]
    assert {(token["owner"], token["id"]) for token in tokens} == {
        ("alice", first["id"]),
        ("bob", second["id"]),
    }
    of_alice = (await admin.get("/maas-api/admin/users/alice/tokens")).json()["tokens"]
    assert [token["id"] for token in of_alice] == [first["id"]]
    refused = await admin.delete("/maas-api/admin/users/alice/tokens")
    assert refused.status_code == 403
    assert refused.json()["code"] == "forbidden"


async def test_who_may_delete_service_accounts_revokes_a_users_tokens(maas: Replica) -> None:
    username = "system:odd/na me@example.com"
    odd, bob = await maas.caller(username), await maas.caller("bob")
    await odd.issued()
    await odd.issued()
    kept = await bob.issued()
    admin = await admin_of(maas, "list", "delete")
    path = f"/maas-api/admin/users/{quote(username, safe='')}/tokens"

    async def revoked() -> bool:
        response = await admin.delete(path)
        return response.status_code == 200 and response.json() == {"revoked": 2}

    await eventually(revoked)
    assert await odd.listed() == []
    assert [token["id"] for token in await bob.listed()] == [kept["id"]]


async def test_ordinary_callers_are_forbidden(maas: Replica) -> None:
    alice = await maas.caller("alice", "premium-users")
    for method, path in (
        ("GET", "/maas-api/admin/tokens"),
        ("GET", "/maas-api/admin/users/bob/tokens"),
        ("DELETE", "/maas-api/admin/users/bob/tokens"),
    ):
        response = await alice.request(method, path)
        assert response.status_code == 403
        assert response.json()["code"] == "forbidden"
