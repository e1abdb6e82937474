"""Acting as somebody else: the `Impersonate-*` headers (kubectl's --as, --as-group, --as-uid)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from app.embedded.kubernetes.errors import bad_request
from app.embedded.kubernetes.rbac import Attributes
from app.embedded.kubernetes.users import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    service_account_groups,
    split_service_account,
)

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"


def requested(headers: Headers) -> tuple[User, list[Attributes]] | None:
    """Return whom a request wants to act as, and everything one must be allowed to do for it; None: nobody.

    Raises:
        APIError: Groups, a UID or extras are given without a user (400).
    """
    username, uid = headers.get("impersonate-user", ""), headers.get("impersonate-uid", "")
    groups = tuple(headers.getlist("impersonate-group"))
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    if not username:
        if groups or uid or extra:
            raise bad_request("requested impersonation without impersonating a user")
        return None
    account = split_service_account(username)
    if account:
        needed = [_impersonate("serviceaccounts", account[1], namespace=account[0])]
    else:
        needed = [_impersonate("users", username)]
    needed += [_impersonate("groups", group) for group in groups]
    needed += [
        _impersonate("userextras", value, group=_GROUP, subresource=key)
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        needed.append(_impersonate("uids", uid, group=_GROUP))
    if account and not groups:
        groups = service_account_groups(account[0])
    return User(username, _completed(username, groups), uid, extra), needed


def _impersonate(
    resource: str, name: str, *, group: str = "", subresource: str = "", namespace: str = ""
) -> Attributes:
    return Attributes(
        "impersonate",
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _completed(username: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Add the group of the authenticated, or of the anonymous, unless the request says which."""
    if username == ANONYMOUS.username:
        return groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    if {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        return groups
    return (*groups, AUTHENTICATED)
