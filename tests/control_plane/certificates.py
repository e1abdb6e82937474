"""The keys of the control plane, made anew for every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    """PEM files of a certificate chain and its private key."""

    chain: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What the control plane proves itself and its administrator with, as PEM files.

    Attributes:
        ca: The certificate of the CA that signed the two others.
        server: For everything that listens on 127.0.0.1.
        admin: A client certificate of the group `system:masters`, which may do everything.
        service_account_key: What ServiceAccount tokens are signed with (RS256, as on real clusters).
    """

    ca: Path
    server: KeyPair
    admin: KeyPair
    service_account_key: Path


def issue_certificates(directory: Path) -> Certificates:
    """Make everything, as files in `directory`."""
    authority = trustme.CA(organization_name="PrivateMaaS", organization_unit_name="cluster suite")
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    service_account_key = directory / "service-account.key"
    service_account_key.write_bytes(
        signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return Certificates(
        ca=ca,
        server=_write(directory, "server", authority.issue_cert("127.0.0.1", "localhost")),
        # The API server takes the user name from CN and the groups from O. A host name has to be there as
        # well: without one, trustme makes an empty list of them critical, and Go refuses that.
        admin=_write(
            directory,
            "admin",
            authority.issue_cert("admin", common_name="admin", organization_name="system:masters"),
        ),
        service_account_key=service_account_key,
    )


def _write(directory: Path, name: str, certificate: trustme.LeafCert) -> KeyPair:
    pair = KeyPair(chain=directory / f"{name}.pem", key=directory / f"{name}.key")
    pair.key.write_bytes(certificate.private_key_pem.bytes())
    pair.chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return pair
