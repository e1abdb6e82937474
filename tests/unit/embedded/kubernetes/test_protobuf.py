from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.embedded.kubernetes.errors import APIError
from app.embedded.kubernetes.protobuf import decode
from tests.unit.embedded.kubernetes.api import CONFIG_MAPS, GROUPS, failure

if TYPE_CHECKING:
    from tests.unit.embedded.kubernetes.api import API

PROTOBUF = "application/vnd.kubernetes.protobuf"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, message) + field(3, "")


def config_map(extra: bytes = b"") -> bytes:
    metadata = field(1, "settings") + field(3, "") + field(8, b"") + field(11, field(1, "a") + field(2, ""))
    data = field(1, "mode") + field(2, "x")
    return envelope("v1", "ConfigMap", field(1, metadata) + field(2, data) + extra)


async def test_builtin_kinds_are_read_from_protobuf(api: API) -> None:
    answer = await api.call("POST", CONFIG_MAPS, config_map(), type=PROTOBUF)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["data"] == {"mode": "x"}
    assert answer.json()["metadata"]["labels"] == {"a": ""}
    preconditions = field(2, field(1, "another"))
    body = envelope("v1", "DeleteOptions", preconditions)
    deleted = await api.call("DELETE", f"{CONFIG_MAPS}/settings", body, type=PROTOBUF)
    assert failure(deleted)[:2] == (409, "Conflict")


async def test_custom_resources_are_not(api: API) -> None:
    answer = await api.call("POST", GROUPS, config_map(), type=PROTOBUF)
    assert failure(answer)[:2] == (415, "UnsupportedMediaType")


def test_fields_look_as_they_do_in_json() -> None:
    time = field(1, 1_700_000_000)
    owner = field(3, "o") + field(6, 1) + field(7, 0)
    entry = field(1, "m") + field(4, time) + field(7, field(1, '{"f:data":{}}'))
    metadata = (
        field(1, "x") + field(7, -1) + field(8, time + field(2, 5000)) + field(13, owner) + field(14, "f/1")
        + field(14, "f/2") + field(17, entry) + field(17, field(7, b""))
    )  # fmt: skip
    secret = field(1, metadata) + field(2, field(1, "k") + field(2, b"\x00")) + field(5, 0)
    assert decode(envelope("v1", "Secret", secret)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "x",
            "generation": -1,
            "creationTimestamp": "2023-11-14T22:13:20.000005Z",
            "ownerReferences": [{"name": "o", "controller": True, "blockOwnerDeletion": False}],
            "finalizers": ["f/1", "f/2"],
            "managedFields": [
                {"manager": "m", "time": "2023-11-14T22:13:20Z", "fieldsV1": {"f:data": {}}},
                {"fieldsV1": {}},
            ],
        },
        "data": {"k": "AA=="},
        "immutable": False,
    }


def test_extra_values_are_lists() -> None:
    extra = field(1, "scopes") + field(2, field(1, "a") + field(1, "b"))
    body = envelope("authorization.k8s.io/v1", "SubjectAccessReview", field(2, field(5, extra)))
    assert decode(body)["spec"] == {"extra": {"scopes": ["a", "b"]}}


def test_unknown_fields_are_passed_over() -> None:
    unknown = field(90, "x") + varint(91 << 3 | 1) + b"\0" * 8 + varint(92 << 3 | 5) + b"\0" * 4
    assert decode(config_map(unknown))["data"] == {"mode": "x"}


MALFORMED: list[Any] = [
    b"",
    b"k8s\x00",
    b"{}",
    envelope("v1", "Pod", b""),
    config_map()[:-4],
    envelope("v1", "ConfigMap", b"\x0b"),
    envelope("v1", "ConfigMap", b"\xff" * 11),
    envelope("v1", "ConfigMap", field(1, 5)),
    envelope("v1", "ConfigMap", field(4, "no number")),
    envelope("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))),
    envelope("v1", "ConfigMap", field(1, field(8, field(1, 1 << 60)))),
    envelope("v1", "ConfigMap", field(1, field(17, field(7, field(1, "{"))))),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(APIError) as caught:
        decode(body)
    assert caught.value.code == 400


def test_a_time_that_is_no_number_is_no_time() -> None:
    metadata = field(1, "x") + field(8, field(1, "now"))
    assert decode(envelope("v1", "ConfigMap", field(1, metadata)))["metadata"] == {"name": "x"}
