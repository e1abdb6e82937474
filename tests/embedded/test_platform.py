"""What a platform says of a cluster that is not as it needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from app.embedded.kubeconfig import write_kubeconfig
from app.embedded.platform import NotReadyError, PlatformOptions
from app.embedded.platform import platform as run
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.maasctl import Up


async def test_what_may_not_be_read_is_named(platform: Up, tmp_path: Path) -> None:
    cluster = yaml.safe_load(platform.kubeconfig.read_text())["clusters"][0]["cluster"]
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig",
        server=cluster["server"],
        ca_file=platform.state_dir / "cluster-certificates" / "ca.pem",
        user="alice",
        token="sha256~alice",
    )
    options = PlatformOptions(tmp_path / "state", port=0, kubeconfig=str(kubeconfig), ready_seconds=0.3)

    with pytest.raises(NotReadyError, match=r"read serviceaccounts, configmaps.* within 0\.3 seconds"):
        async with run(options, Settings()):
            pass


def test_no_policies_are_looked_for_beside_the_local_gateway(platform: Up) -> None:
    log = (platform.state_dir / "maas-api.log").read_text()
    assert "tier mapping 1 is in force" in log
    assert "policy_role" not in log
