"""Fields of Kubernetes objects: compared, left out, and who owns them."""

from __future__ import annotations

from typing import Any

import pytest

from app.limits.fields import differences, owners, without

RULES = [{"limit": {"requests": 1}}, {"limit": {"requests": 2}}]


@pytest.mark.parametrize(
    ("present", "wanted", "fields"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [".spec.a.b"]),
        ({}, {"a": {"b": 2, "c": 3}}, [".spec.a.b", ".spec.a.c"]),
        (None, {"a": 1}, [".spec.a"]),
        ({"a": "text"}, {"a": {"b": 1}}, [".spec.a.b"]),
        ({"a": {"b": 1}}, {"a": {}}, [".spec.a"]),
        ({"rules": RULES}, {"rules": RULES}, []),
        ({"rules": [{**rule, "invert": False} for rule in RULES]}, {"rules": RULES}, []),
        ({"rules": RULES[:1]}, {"rules": RULES}, [".spec.rules"]),
        ({"rules": [*RULES, {}]}, {"rules": RULES}, [".spec.rules"]),
        ({"rules": RULES[::-1]}, {"rules": RULES}, [".spec.rules"]),
        ({"rules": "none"}, {"rules": RULES}, [".spec.rules"]),
    ],
)
def test_what_differs_is_named_and_what_is_there_besides_does_not_count(
    present: Any, wanted: Any, fields: list[str]
) -> None:
    assert list(differences(present, wanted, ".spec")) == fields


def test_fields_are_left_out_with_the_maps_that_are_empty_without_them() -> None:
    obj = {"spec": {"limits": {"free": {"rates": [1], "when": []}, "premium": {"rates": [2]}}, "kept": {}}}
    assert without(obj, {".spec.limits.free.rates", ".spec.limits.premium"}) == {
        "spec": {"limits": {"free": {"when": []}}, "kept": {}}
    }
    assert without(obj, {".spec"}) == {}
    assert without(obj, {".spec.limits.fre"}) == obj


def test_the_owners_of_a_field_are_those_of_what_is_below_it_too() -> None:
    entries = [
        {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:limits": {"f:free": {"f:rates": {}}}}}},
        {"manager": "helm", "fieldsV1": {"f:spec": {"f:limits": {"f:free": {}}}}},
        {"manager": "oc", "fieldsV1": {"f:spec": {"f:limits": {"f:premium": {"f:rates": {}}}}}},
        {"manager": "nobody"},
    ]
    obj = {"metadata": {"managedFields": entries}}
    assert owners(obj, "spec", "limits", "free") == {"kubectl", "helm"}
    assert owners(obj, "spec", "limits") == {"kubectl", "helm", "oc"}
    assert owners({"metadata": {}}, "spec") == set()
