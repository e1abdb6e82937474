"""What keeps the service's own token alive."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.kube.exec_token import ExecToken
from app.kube.library import config
from app.kube.token_file import TokenFile

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader


class Credentials(Protocol):
    """A token of the service that does not live for ever."""

    def is_fresh(self) -> bool:
        """Whether `refresh` would leave the token in the configuration as it is."""

    async def refresh(self, configuration: Configuration) -> None:
        """Put the token into `configuration`, by the time that one has for a request."""

    async def renew(self, configuration: Configuration) -> None:
        """Look for another token, since the present one is not accepted."""


def credentials_of_pod() -> Credentials:
    """Those that the kubelet puts into every pod."""
    return TokenFile(Path(config.incluster_config.SERVICE_TOKEN_FILENAME), clock=time.monotonic)


def credentials_of_kubeconfig(loader: KubeConfigLoader) -> Credentials | None:
    """What keeps a kubeconfig's token alive; None if it is written there and stays as it is."""
    # The library reads a token's file once and never again.
    user: Any = loader._user or {}  # noqa: SLF001
    if "exec" in user and hasattr(loader, "token"):
        return ExecToken(loader, clock=time.monotonic)
    if "tokenFile" in user and "token" not in user:
        beside = Path(loader._get_base_path(user.path))  # noqa: SLF001
        return TokenFile(beside / user["tokenFile"], clock=time.monotonic)
    return None
