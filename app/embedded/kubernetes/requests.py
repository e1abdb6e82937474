"""What a request asks for: its verb, resource, namespace and name, read from method and path.

The rules are those of k8s.io/apiserver/pkg/endpoints/request (RequestInfo).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
import yaml

from app.embedded.kubernetes import protobuf
from app.embedded.kubernetes.errors import bad_request, too_large, unsupported_media_type
from app.embedded.kubernetes.rbac import Attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

BODY_LIMIT = 3 * 1024 * 1024
CUSTOM_TYPES = ("application/json", "application/yaml")
BUILTIN_TYPES = (*CUSTOM_TYPES, protobuf.MEDIA_TYPE)

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_COLLECTION_VERBS = {"get": "list", "delete": "deletecollection"}
_NAMESPACE_SUBRESOURCES = frozenset(("status", "finalize"))
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True", ""))


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. `resource` is empty for paths that are no resource, such as discovery."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""

    def attributes(self) -> Attributes:
        """Return what must be allowed for the request to be answered."""
        if not self.resource:
            return Attributes(self.verb, path=self.path)
        return Attributes(
            self.verb, self.group, self.version, self.resource, self.subresource, self.namespace, self.name
        )


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Return what a request is about; the path is still escaped."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    verb = _VERBS.get(method, method.lower())
    if parts[0] == "api" and len(parts) > 2:  # noqa: PLR2004 - /api, version, resource
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:  # noqa: PLR2004 - /apis, group, version, resource
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return Target(method.lower(), unquote(path))
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:  # noqa: PLR2004 - what is inside
            parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    if not name and verb in _COLLECTION_VERBS:
        verb = "watch" if verb == "get" and flag(query, "watch") else _COLLECTION_VERBS[verb]
        name = _selected_name(query.get("fieldSelector", ""))
    return Target(verb, path, group, version, namespace, resource, name, subresource)


def _selected_name(selector: str) -> str:
    """The name of the one object that a field selector asks for, because roles may allow just that one."""
    for term in selector.split(","):
        path, _, value = term.strip().replace("==", "=").partition("=")
        if path == "metadata.name":
            return value
    return ""


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a boolean option is set; given without a value, it is."""
    return name in query and query[name] in _TRUE


def number(query: Mapping[str, str], name: str) -> int:
    """Return an option that is a number, 0 if it is not given.

    Raises:
        APIError: It is no number, or a negative one (400).
    """
    text = query.get(name) or "0"
    if not (text.isascii() and text.isdigit()):
        shown = text[:20]
        problem = f'strconv.ParseUint: parsing "{shown}": invalid syntax'
        raise bad_request(f'{name}: Invalid value: "{shown}": {problem}')
    return int(text)


async def read_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        APIError: It is longer than the server reads (413).
    """
    chunks, length = [], 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > BODY_LIMIT:
            raise too_large(BODY_LIMIT)
        chunks.append(chunk)
    return b"".join(chunks)


async def read_object(request: Request, accepted: tuple[str, ...] = BUILTIN_TYPES) -> dict[str, Any]:
    """Return the body as an object; no body is an empty one.

    Raises:
        APIError: It has a type that is not accepted (415) or is no object (400).
    """
    media_type = media_type_of(request)
    if media_type and media_type not in accepted:
        raise unsupported_media_type(accepted)
    body = await read_body(request)
    if media_type == protobuf.MEDIA_TYPE and body:
        return protobuf.decode(body)
    value = parse(body or b"{}", yaml_allowed=media_type == "application/yaml")
    if not isinstance(value, dict) or not isinstance(value.get("metadata") or {}, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is not an API object")
    return value


def media_type_of(request: Request) -> str:
    """Return the media type of the body without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(body: bytes, *, yaml_allowed: bool = False) -> Any:
    """Return the value of JSON, or YAML if that is allowed.

    Raises:
        APIError: It does not parse (400).
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not yaml_allowed:
            raise bad_request("the body of the request is not valid JSON") from None
    try:
        # Through JSON and back, because YAML knows more types.
        return orjson.loads(orjson.dumps(yaml.load(body, _Loader), option=orjson.OPT_NON_STR_KEYS))  # noqa: S506
    except (yaml.YAMLError, orjson.JSONEncodeError, ValueError):
        raise bad_request("the body of the request is not valid YAML") from None


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times stay text. Aliases, which can blow up memory, are refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - that is how PyYAML is configured
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)
