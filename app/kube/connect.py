"""The way to the Kubernetes API that a configuration describes.

kubernetes-asyncio reads it (in-cluster or kubeconfig), keeps credentials fresh and makes the TLS context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.kube.client import KubeClient
from app.kube.credentials import credentials_of_kubeconfig, credentials_of_pod
from app.kube.errors import KubeError
from app.kube.library import ApiClient, Configuration, config
from app.kube.transport import Transport

if TYPE_CHECKING:
    import random

    from app.kube.client import CallObserver
    from app.kube.credentials import Credentials


async def connect(
    kubeconfig: str | None,
    *,
    timeout_seconds: float,
    connections: int,
    observe: CallObserver,
    random: random.Random,
) -> KubeClient:
    """A client for the cluster of `kubeconfig`, or without one for the cluster this pod runs in.

    Raises:
        KubeError: no usable configuration was found; the message says what was looked for.
    """
    configuration = Configuration()
    credentials: Credentials | None
    try:
        if kubeconfig:
            loader = await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
            credentials = credentials_of_kubeconfig(loader)
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            credentials = credentials_of_pod()
        configuration.connection_pool_maxsize = connections
        transport = Transport(
            ApiClient(configuration),
            credentials=credentials,
            timeout_seconds=timeout_seconds,
            connections=connections,
        )
    except Exception as error:  # noqa: BLE001  # the library lets through whatever a malformed file makes of it
        where = (
            f"in kubeconfig {kubeconfig}"
            if kubeconfig
            else "for a pod (in-cluster); set KUBECONFIG elsewhere"
        )
        # It quotes whole users, tokens and all, after the file's path.
        what = str(error).partition("/{")[0]
        raise KubeError(f"no usable Kubernetes configuration {where}: {what}") from None
    return KubeClient(transport, observe=observe, random=random)
