"""Lists: of now or of an earlier moment, selected, and in pages that all show the same moment."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from app.embedded.kubernetes import selectors
from app.embedded.kubernetes.errors import (
    APIError,
    FieldError,
    GroupName,
    bad_request,
    expired,
    invalid,
    resource_version_too_large,
)
from app.embedded.kubernetes.requests import number
from app.embedded.kubernetes.storage import CompactedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.selectors import Selector
    from app.embedded.kubernetes.storage import Object, Storage, Stored

_TOO_OLD_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)
_TOO_OLD_LIST = "The resourceVersion for the provided list is too old."
_LIST_OPTIONS = GroupName("meta.k8s.io", "ListOptions")
_NOW = -1


@dataclass(frozen=True, slots=True)
class _Page:
    """Where a list goes on: after which object, as of which resourceVersion."""

    version: int
    after: tuple[str, str]

    def token(self) -> str:
        text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.after})
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def read(cls, token: str) -> _Page:
        try:
            content = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            namespace, name = content["start"]
            return cls(int(content["rv"]), (str(namespace), str(name)))
        except (binascii.Error, ValueError, TypeError, KeyError):
            raise bad_request("continue key is not valid: it was not made by this server") from None


def select(
    storage: Storage, resource: Resource, namespace: str, query: Mapping[str, str]
) -> tuple[list[Stored], Object]:
    """Return the objects that a list request asks for, and the metadata of the list.

    Raises:
        APIError: The options do not make sense (400, 422), or ask for a moment that is forgotten (410) or
            yet to come (504).
    """
    selector = selectors.parse(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    # A negative limit is none, like 0.
    limit = 0 if query.get("limit", "").startswith("-") else number(query, "limit")
    if query.get("continue"):
        if query.get("resourceVersion") not in (None, "", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        page = _Page.read(query["continue"])
    else:
        page = _Page(_exact_version(storage, query), ("", ""))
    version = storage.version if page.version == _NOW else page.version
    try:
        found = storage.list(resource, namespace, at=version)
    except CompactedError:
        if not query.get("continue"):
            raise expired(_TOO_OLD_LIST) from None
        raise _forgotten(page) from None
    return _cut(found, selector, page, version, limit)


def _cut(
    found: list[Stored], selector: Selector, page: _Page, version: int, limit: int
) -> tuple[list[Stored], Object]:
    if page.after != ("", ""):
        found = [each for each in found if (each.namespace, each.name) > page.after]
    if selector:
        found = [each for each in found if selector.matches(each)]
    metadata: Object = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        last = found[limit - 1]
        metadata["continue"] = _Page(version, (last.namespace, last.name)).token()
        if not selector:
            # With a selector, a real server does not know how many more would match.
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return found, metadata


def _forgotten(page: _Page) -> APIError:
    error = expired(_TOO_OLD_PAGE)
    error.metadata = {"continue": _Page(_NOW, page.after).token()}
    return error


def _exact_version(storage: Storage, query: Mapping[str, str]) -> int:
    """Return as of which resourceVersion to list; every one but an exact one means now."""
    match = query.get("resourceVersionMatch", "")
    if match and not query.get("resourceVersion"):
        text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid(_LIST_OPTIONS, "", [FieldError.forbidden("resourceVersionMatch", text)])
    if match not in ("", "Exact", "NotOlderThan"):
        error = FieldError.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", ""))
        raise invalid(_LIST_OPTIONS, "", [error])
    asked = number(query, "resourceVersion")
    check_reached(storage, asked)
    exact = match == "Exact" or (asked and not match and query.get("limit", "0") != "0")
    return asked if exact else _NOW


def check_reached(storage: Storage, asked: int) -> None:
    """Refuse to show a state that is yet to come.

    Raises:
        APIError: The resourceVersion is higher than any so far (504).
    """
    if asked > storage.version:
        raise resource_version_too_large(asked, storage.version)
