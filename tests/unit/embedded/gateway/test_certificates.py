from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from app.embedded.gateway.certificates import ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def now() -> dt.datetime:
    return NOW


def after(**passed: int) -> Callable[[], dt.datetime]:
    return lambda: NOW + dt.timedelta(**passed)


def test_the_server_is_named_like_this_machine(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, now)

    certificate = x509.load_pem_x509_certificate(made.chain.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == {"localhost", "127.0.0.1", "::1"}
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path / "new" / "directory", now)

    assert {path.stat().st_mode & 0o777 for path in (made.ca, made.chain, made.key)} == {0o600}
    assert made.ca.parent.stat().st_mode & 0o777 == 0o700


def test_the_key_of_the_ca_is_not_kept(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, now)

    assert {path.name for path in tmp_path.iterdir()} == {made.ca.name, made.chain.name, made.key.name}
    assert b"PRIVATE" not in made.ca.read_bytes()


def test_tls_libraries_take_the_pair(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, now)

    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.chain, made.key)
    ssl.create_default_context(cafile=str(made.ca))


def test_valid_certificates_are_used_again(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, now).chain.read_bytes()

    assert ensure_certificates(tmp_path, after(days=357)).chain.read_bytes() == first


@pytest.mark.parametrize("days", [359, 400, -1])
def test_certificates_are_renewed_before_they_end(tmp_path: Path, days: int) -> None:
    first = ensure_certificates(tmp_path, now).chain.read_bytes()

    assert ensure_certificates(tmp_path, after(days=days)).chain.read_bytes() != first


@pytest.mark.parametrize("damage", ["missing", "garbage", "of another"])
@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_damaged_files_are_replaced(tmp_path: Path, name: str, damage: str) -> None:
    ensure_certificates(tmp_path / "mine", now)
    ensure_certificates(tmp_path / "other", now)
    path = tmp_path / "mine" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes((tmp_path / "other" / name).read_bytes() if damage == "of another" else b"???")

    made = ensure_certificates(tmp_path / "mine", now)

    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.chain, made.key)
    server = x509.load_pem_x509_certificate(made.chain.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))


def test_a_new_name_makes_a_new_certificate(tmp_path: Path) -> None:
    plain = ensure_certificates(tmp_path, now).chain.read_bytes()
    named = ensure_certificates(tmp_path, now, names=["cluster.local", "10.0.0.1"]).chain.read_bytes()

    assert plain != named
    assert ensure_certificates(tmp_path, now, names=["cluster.local"]).chain.read_bytes() == named
