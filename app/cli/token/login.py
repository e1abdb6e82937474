"""From the options of a command to a gateway that can be asked."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.connection import connect
from app.cli.gateway.address import find
from app.cli.gateway.caller import caller_token
from app.cli.gateway.options import check
from app.cli.kubectl import KubectlError
from app.cli.token.gateway import Gateway, GatewayCallError
from app.kube.caller_token import NoCallerTokenError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Login:
    """Who asks, and for which platform.

    Attributes:
        command: its whole name, for messages.
        token_file: with the caller token; None for the environment, or the login.
        namespace: the platform's.
        gateway_name: of its Gateway.
        kubeconfig: None for the usual one.
        context: of the kubeconfig; None for its current one.
    """

    command: str
    token_file: Path | None
    namespace: str
    gateway_name: str
    kubeconfig: Path | None
    context: str | None

    @contextmanager
    def gateway(self, address: str, cacert: Path | None, *, insecure: bool) -> Iterator[Gateway]:
        """The gateway, with the caller's token; what goes wrong there is said, and ends the command.

        Args:
            address: as given; empty for the one that the cluster tells.
            cacert: CA certificates of the gateway.
            insecure: whether any certificate will do.

        Raises:
            typer.BadParameter: the options contradict each other.
            typer.Exit: code 1, when it has said what went wrong.
        """
        url = check(address, cacert, insecure=insecure)
        try:
            gateway = Gateway(url or self._find(), self._token(), cacert=cacert, insecure=insecure)
            try:
                yield gateway
            finally:
                gateway.close()
        except (GatewayCallError, NoCallerTokenError) as error:
            typer.echo(f"maasctl {self.command}: {error}", err=True)
            raise typer.Exit(1) from None

    def _token(self) -> str:
        try:
            token, _ = asyncio.run(caller_token(self.token_file, self.kubeconfig, self.context))
        except (OSError, UnicodeDecodeError) as error:
            raise NoCallerTokenError(f"{self.token_file} cannot be read: {error}") from None
        return token

    def _find(self) -> str:
        kubectl = connect(self.command, self.kubeconfig, self.context)
        wanted = f"Route or Gateway {self.namespace}/{self.gateway_name}"
        try:
            url, why = asyncio.run(find(kubectl, self.namespace, self.gateway_name)), "neither has an address"
        except KubectlError as error:
            url, why = "", str(error)
        if not url:
            raise GatewayCallError(
                f"where the gateway is cannot be read from the cluster ({wanted}: {why});"
                " give --gateway HOST, or set GATEWAY_URL"
            )
        return url
