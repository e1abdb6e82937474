"""The verbs on stored objects: get, list, watch, create, update, patch, delete, deletecollection."""

from __future__ import annotations

import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes import (
    deletion,
    lists,
    patch,
    requests,
    responses,
    selectors,
    shapes,
    tables,
    watch,
)
from app.embedded.kubernetes.errors import (
    FieldError,
    GroupName,
    bad_request,
    forbidden,
    invalid,
    not_found,
    unsupported_media_type,
)
from app.embedded.kubernetes.objects import Write
from app.embedded.kubernetes.requests import flag, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from app.embedded.kubernetes.cluster import Cluster
    from app.embedded.kubernetes.requests import Target
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object, Stored
    from app.embedded.kubernetes.users import User

_WATCH_SECONDS = 1800
_MANAGER_LENGTH = 128
_LIST_OPTIONS = GroupName("meta.k8s.io", "ListOptions")
_PATCH_OPTIONS = GroupName("meta.k8s.io", "PatchOptions")
_PATCHES: dict[str, Callable[[Object, Any], Object]] = {
    patch.JSON: patch.json_patch,
    patch.MERGE: patch.merge_patch,
    patch.STRATEGIC: patch.strategic_merge_patch,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a resource by a user who may make it. `namespace` is empty for what has none."""

    cluster: Cluster
    request: Request
    target: Target
    resource: Resource
    namespace: str
    user: User

    @property
    def query(self) -> dict[str, str]:
        """The options in the URL."""
        return dict(self.request.query_params)

    def write(self) -> Write:
        """Return how the request wants its write done."""
        agent = self.request.headers.get("user-agent", "").partition("/")[0]
        manager = self.query.get("fieldManager") or agent or "unknown"
        dry_run = self.query.get("dryRun", "")
        if dry_run not in ("", "All"):
            options = GroupName("meta.k8s.io", f"{self.target.verb.capitalize()}Options")
            raise invalid(options, "", [FieldError.not_supported("dryRun", [dry_run], ("All",))])
        return Write(manager[:_MANAGER_LENGTH], bool(dry_run), self.target.subresource)

    def form(self) -> str:
        """Return in which form the client wants objects."""
        return responses.accepted_form(self.request.headers.get("accept", ""))

    def include(self) -> str:
        """Return what of the objects the rows of tables carry."""
        return self.query.get("includeObject") or "Metadata"


async def get(call: Call) -> ASGIApp:
    """Return an object."""
    lists.check_reached(call.cluster.storage, number(call.query, "resourceVersion"))
    return _shown(call, call.cluster.objects.get(call.resource, call.namespace, call.target.name))


async def list_(call: Call) -> ASGIApp:
    """Return a list."""
    form = call.form()
    items, metadata = lists.select(call.cluster.storage, call.resource, call.namespace, call.query)
    if form == "Table":
        now = call.cluster.clock()
        return responses.json(tables.table(call.resource, items, metadata, include=call.include(), now=now))
    if form == "PartialObjectMetadataList":
        return responses.json(tables.partial_list(items, metadata))
    return responses.listing(call.resource, items, metadata)


async def watch_(call: Call) -> ASGIApp:
    """Return a stream of changes."""
    query, form, cluster = call.query, call.form(), call.cluster
    initial = flag(query, "sendInitialEvents")
    match = query.get("resourceVersionMatch", "")
    if initial and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid(_LIST_OPTIONS, "", [FieldError.forbidden("resourceVersionMatch", text)])
    if match and "sendInitialEvents" not in query:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise invalid(_LIST_OPTIONS, "", [FieldError.forbidden("resourceVersionMatch", text)])
    since = number(query, "resourceVersion") or None
    bookmarks = flag(query, "allowWatchBookmarks")
    wanted = watch.Watch(
        resource=call.resource,
        namespace=call.namespace,
        selector=selectors.parse(
            call.resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        ),
        since=None if initial else since,
        bookmarks=bookmarks,
        initial_end=initial and bookmarks,
        seconds=number(query, "timeoutSeconds") or _WATCH_SECONDS * (1 + random.random()),  # noqa: S311
        render=_renderer(call, form),
    )
    if cluster.faults.gone_as_status:
        watch.check_age(cluster, wanted)
    return watch.WatchResponse(cluster, wanted)


def _renderer(call: Call, form: str) -> Callable[[Stored], Any]:
    if form == "Table":
        clock, include = call.cluster.clock, call.include()
        return lambda stored: tables.table(
            call.resource,
            [stored],
            {"resourceVersion": str(stored.version)},
            include=include,
            now=clock(),
        )
    return responses.embedded if not form else tables.partial


async def create(call: Call) -> ASGIApp:
    """Create an object from the body."""
    obj = await _read(call)
    stored = call.cluster.objects.create(call.resource, call.namespace, obj, call.write())
    return _shown(call, stored, HTTPStatus.CREATED)


async def update(call: Call) -> ASGIApp:
    """Replace an object by the body."""
    obj = await _read(call)
    objects, resource, name, write = call.cluster.objects, call.resource, call.target.name, call.write()
    if call.cluster.storage.get(resource, call.namespace, name) is None:
        if not resource.create_by_put or call.target.subresource:
            raise not_found(resource.qualified, name)
        _require_create(call)
        obj.setdefault("metadata", {}).pop("resourceVersion", None)
        return _shown(call, objects.create(resource, call.namespace, obj, write), HTTPStatus.CREATED)
    if not resource.blind_put and not (obj.get("metadata") or {}).get("resourceVersion"):
        text = "must be specified for an update"
        # A real server names the resource here, not the kind.
        raise invalid(resource.qualified, name, [FieldError.invalid("metadata.resourceVersion", 0, text)])
    return _shown(call, objects.update(resource, call.namespace, name, lambda _: obj, write))


async def patch_(call: Call) -> ASGIApp:
    """Change an object as a patch says."""
    media_type = requests.media_type_of(call.request)
    accepted = [patch.JSON, patch.MERGE, patch.APPLY]
    if not call.resource.custom:
        accepted.insert(2, patch.STRATEGIC)
    if media_type not in accepted:
        raise unsupported_media_type(accepted if media_type == patch.STRATEGIC else ())
    body = requests.parse(await requests.read_body(call.request), yaml_allowed=media_type == patch.APPLY)
    if media_type == patch.APPLY:
        return _apply(call, body)
    if flag(call.query, "force"):
        text = "may not be specified for non-apply patch"
        raise invalid(_PATCH_OPTIONS, "", [FieldError.forbidden("force", text)])
    stored = call.cluster.objects.update(
        call.resource,
        call.namespace,
        call.target.name,
        lambda current: _PATCHES[media_type](current, body),
        call.write(),
    )
    return _shown(call, stored)


def _apply(call: Call, body: Any) -> ASGIApp:
    config = _typed(call, body if isinstance(body, dict) else {})
    if not call.query.get("fieldManager"):
        missing = FieldError.required("fieldManager", "is required for apply patch")
        raise invalid(_PATCH_OPTIONS, "", [missing])
    metadata = config["metadata"] = {"name": call.target.name, **(config.get("metadata") or {})}
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if call.cluster.storage.get(call.resource, call.namespace, call.target.name) is None:
        _require_create(call)
    stored, new = call.cluster.objects.apply(
        call.resource,
        call.namespace,
        call.target.name,
        config,
        call.write(),
        force=flag(call.query, "force"),
    )
    return _shown(call, stored, HTTPStatus.CREATED if new else HTTPStatus.OK)


async def delete(call: Call) -> ASGIApp:
    """Delete an object."""
    options = await requests.read_object(call.request)
    shapes.check_options(options)
    dry_run = call.write().dry_run or bool(options.get("dryRun"))
    current = call.cluster.objects.get(call.resource, call.namespace, call.target.name)
    stored, gone = deletion.delete(
        call.cluster.objects, call.resource, current, options.get("preconditions") or {}, dry_run=dry_run
    )
    if gone and not call.resource.returns_deleted:
        return responses.deleted(call.resource, stored)
    return _shown(call, stored)


async def delete_collection(call: Call) -> ASGIApp:
    """Delete the objects that the selectors choose."""
    await requests.read_body(call.request)
    objects, dry_run = call.cluster.objects, call.write().dry_run
    items, _ = lists.select(objects.storage, call.resource, call.namespace, call.query)
    last = [deletion.delete(objects, call.resource, item, {}, dry_run=dry_run)[0] for item in items]
    return responses.listing(call.resource, last, {"resourceVersion": str(objects.storage.version)})


async def _read(call: Call) -> Object:
    accepted = requests.CUSTOM_TYPES if call.resource.custom else requests.BUILTIN_TYPES
    return _typed(call, await requests.read_object(call.request, accepted))


def _typed(call: Call, obj: Object) -> Object:
    """Check that an object says it is of the kind that the path is for; builtin kinds may leave it out."""
    resource = call.resource
    version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    if not kind and (resource.custom or requests.media_type_of(call.request) == patch.APPLY):
        raise bad_request("Object 'Kind' is missing in the body")
    if version and version != resource.group_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version "
            f"({resource.group_version})"
        )
    if kind and kind != resource.kind:
        raise bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}')
    return obj


def _require_create(call: Call) -> None:
    """Refuse to create an object for somebody who may only change it.

    Raises:
        APIError: They may not create it (403).
    """
    wanted = call.target.attributes().with_verb("create")
    if not call.cluster.rbac.allows(call.user, wanted)[0]:
        raise forbidden(call.resource.qualified, call.target.name, wanted.refusal(call.user))


def _shown(call: Call, stored: Stored, status: int = HTTPStatus.OK) -> ASGIApp:
    form = call.form()
    if form == "Table":
        metadata = {"resourceVersion": str(stored.version)}
        now = call.cluster.clock()
        return responses.json(
            tables.table(call.resource, [stored], metadata, include=call.include(), now=now), status
        )
    if form:
        return responses.json(tables.partial(stored), status)
    return responses.stored(stored, status)
