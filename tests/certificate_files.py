"""Certificates of servers in tests, as the files that servers read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import trustme


def issued_files(authority: trustme.CA, name: str, directory: Path) -> tuple[Path, Path]:
    """The files of certificate chain and key for a server of this name."""
    issued = authority.issue_cert(name)
    chain, key = directory / "chain.pem", directory / "key.pem"
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    return chain, key
