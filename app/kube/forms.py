"""In which form objects are asked for and read: whole, or their metadata alone.

The API server sends any object as ``PartialObjectMetadata`` ("Metadata-only fetches" in the Kubernetes API
concepts); one that cannot sends the whole object, which is read the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """What is sent as `Accept`, and what reads the answers; readers raise ValueError.

    Attributes:
        accept: for one object, and for a watch.
        accept_list: for a page of a list.
        read: of one object.
        read_page: of a page of a list.
        read_event: of a line of a watch.
    """

    accept: str
    accept_list: str
    read: Decode
    read_page: Decode
    read_event: Decode


class _Metadata(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    resourceVersion: str
    creationTimestamp: str
    deletionTimestamp: str | None
    labels: dict[str, str] | None
    annotations: dict[str, str] | None


class _Object(TypedDict, total=False):
    """An object, or in a watch the Status that may stand in its place."""

    metadata: _Metadata
    code: int
    message: str
    reason: str


_ListMetadata = TypedDict("_ListMetadata", {"resourceVersion": str, "continue": str}, total=False)


class _Page(TypedDict, total=False):
    metadata: _ListMetadata
    items: list[_Object] | None


class _Event(TypedDict, total=False):
    type: str
    object: _Object


# Not only JSON: the API server refuses that for its keys, which are application/jwk-set+json.
_JSON = "application/json, */*;q=0.5"
_AS = "application/json;as={};g=meta.k8s.io;v=v1, application/json;q=0.9"

WHOLE = Form(_JSON, _JSON, orjson.loads, orjson.loads, orjson.loads)
"""Objects as they are, as dictionaries."""

METADATA = Form(
    _AS.format("PartialObjectMetadata"),
    _AS.format("PartialObjectMetadataList"),
    msgspec.json.Decoder(_Object).decode,
    msgspec.json.Decoder(_Page).decode,
    msgspec.json.Decoder(_Event).decode,
)
"""The same dictionaries with the fields above and no others; the rest, managedFields above all, is passed
over unbuilt, so a long list is read three times faster."""
