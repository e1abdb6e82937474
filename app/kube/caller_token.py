"""The caller token that a person has already, as `oc whoami -t` shows it, wherever a kubeconfig keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.config_exception import ConfigException

if TYPE_CHECKING:
    from pathlib import Path


class NoCallerTokenError(Exception):
    """There is no token to bring; `str()` says why, and what to do."""


async def caller_token(kubeconfig: Path | None, context: str | None) -> str:
    """The token of the kubeconfig's user, also from a file or from the program that the kubeconfig names.

    Raises:
        NoCallerTokenError: there is none.
    """
    configuration = client.Configuration()
    try:
        await config.load_kube_config(
            config_file=str(kubeconfig) if kubeconfig else None,
            context=context,
            client_configuration=configuration,
        )
    except (ConfigException, OSError) as error:
        raise NoCallerTokenError(f"{error}; log in with `oc login`, or give --token-file") from None
    bearer = str(configuration.api_key.get("BearerToken", ""))
    token = bearer.removeprefix("Bearer ").strip()
    if not token:
        raise NoCallerTokenError(
            "the kubeconfig has no token (a client certificate is none): log in with `oc login`, or give one:"
            " export MAAS_CALLER_TOKEN=$(kubectl create token NAME)"
        )
    return token
