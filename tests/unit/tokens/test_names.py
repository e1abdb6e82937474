from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tokens.names import is_token_id, owner_label, token_id

NOW = 1_795_456_035_123
DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
ANY_TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("username", "user"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("alice@example.com", "alice"),
        ("@example.com", "example-com"),
        ("system:serviceaccount:ns:name", "system-serviceaccount-ns-name"),
        ("CN=Alice B.,OU=Research", "cn-alice-b-ou-research"),
        ("José Ñandú", "jose-nandu"),
        ("Ångström", "angstrom"),
        ("Straße", "strasse"),
        ("Łukasz Sørensen", "lukasz-sorensen"),
        ("ＦＵＬＬ①", "full1"),
        ("--alice__bob--", "alice-bob"),
        ("7of9", "7of9"),
        ("a😀b", "a-b"),
        ("😀", "user"),
        ("李小龍", "user"),
        ("", "user"),
        ("alice\n", "alice"),
        ("alice\x00\ud800", "alice"),
    ],
)
def test_a_user_name_becomes_a_dns_label(username: str, user: str) -> None:
    assert token_id(username, NOW) == f"{user}-sa-{NOW}"


def test_a_long_user_name_is_cut_and_the_timestamp_is_not() -> None:
    assert token_id("x" * 10_000, NOW) == f"{'x' * 46}-sa-{NOW}"


def test_a_cut_leaves_no_dash_at_the_end() -> None:
    assert token_id("x" * 45 + "@example.com", NOW) == f"{'x' * 45}-sa-{NOW}"


@pytest.mark.parametrize("milliseconds", [-1, 10**20, pytest.param(10**5000, id="huge")])
def test_what_is_no_time_is_refused(milliseconds: int) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        token_id("alice", milliseconds)


@given(ANY_TEXT | st.text("aZ9-.:@ éß\u0301\ufdfa"), st.integers(0, 10**20 - 1))
def test_any_user_name_gives_a_name_that_kubernetes_takes(username: str, milliseconds: int) -> None:
    name = token_id(username, milliseconds)

    assert DNS_1123_LABEL.fullmatch(name)
    assert len(name) <= 63
    assert name.endswith(f"-sa-{milliseconds}")
    assert is_token_id(name)


def test_the_owner_label_is_the_hash_of_the_name() -> None:
    assert owner_label("alice@example.com") == hashlib.sha256(b"alice@example.com").hexdigest()[:40]


@given(ANY_TEXT, ANY_TEXT)
def test_owner_labels_are_equal_for_equal_names_only(one: str, other: str) -> None:
    assert re.fullmatch("[0-9a-f]{40}", owner_label(one))
    assert (owner_label(one) == owner_label(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["alice-sa-1795456035123", "a", "7", "a.b-c.d", "a" * 253, "-".join("a" * 127)]
)
def test_names_of_service_accounts_are_token_ids(text: str) -> None:
    assert is_token_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "A",
        "a_b",
        "a/b",
        "a..b",
        ".a",
        "a.",
        "a.-b",
        "a\n",
        "é",
        "a b",
        "..",
        "%2e",
        "a" * 254,
        pytest.param("a-" * 9_999_999, id="very long"),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not is_token_id(text)


@given(ANY_TEXT)
def test_what_passes_for_a_token_id_is_safe_in_a_path(text: str) -> None:
    if is_token_id(text):
        assert re.fullmatch(r"[a-z0-9.-]{1,253}", text)
        assert ".." not in text
