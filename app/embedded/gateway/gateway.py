"""The gateway on one machine: Envoy as `maas-default-gateway`, in front of the service and a model."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Self

from app.embedded.gateway.addresses import Address, GatewayAddresses, ensure_free
from app.embedded.gateway.binary import find_envoy
from app.embedded.gateway.bootstrap import bootstrap
from app.embedded.gateway.certificates import ensure_certificates
from app.embedded.gateway.limits import rate_limits
from app.embedded.gateway.listener import ListenerSettings
from app.embedded.gateway.metering import MeteringSettings
from app.embedded.gateway.process import EnvoyProcess
from app.embedded.gateway.resource_file import ResourceFile
from app.embedded.gateway.routes import route_configuration
from app.embedded.gateway.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from app.embedded.gateway.tracing import GatewayTracing


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class LocalGateway:
    """The local gateway: an Envoy with its certificates, routes and limits.

    Used as a context manager it is started and stopped.

    Args:
        state_dir: A directory of its own; certificates in it are used again.
        listen: Where to listen for HTTPS, as (IP address, port); port 0 is any free one.
        public_app: Where the public app is.
        gateway_app: Where the gateway app is, which authorizes.
        model: Where the model server is, without TLS.
        envoy: The Envoy to run; None means the one that `find_envoy` finds.
        admin: Where Envoy's admin interface listens; port 0 is any free one.
        max_request_bytes: The largest body of an inference request.
        authorize_seconds: How long the gateway app may take for a decision.
        concurrency: Envoy's worker threads; never more than there are processors.
        access_log: Where the access log goes; None means `access.log` in `state_dir`.
        metering: How requests and LLM tokens are counted; None means not at all.
        start_seconds: How long Envoy may take until it is ready.
        tracing: Where the gateway's spans go; None means that nothing is traced.
        now: The current time, with a time zone.
    """

    def __init__(  # noqa: PLR0913  # One argument for each thing that differs between machines.
        self,
        state_dir: Path,
        *,
        public_app: Address,
        gateway_app: Address,
        model: Address,
        listen: Address = ("127.0.0.1", 8443),
        admin: Address = ("127.0.0.1", 0),
        envoy: Path | None = None,
        max_request_bytes: int = 10 * 1024 * 1024,
        authorize_seconds: float = 5,
        concurrency: int = 2,
        access_log: Path | None = None,
        metering: MeteringSettings | None = MeteringSettings(),  # noqa: B008  # It is frozen.
        start_seconds: float = 30,
        tracing: GatewayTracing | None = None,
        now: Callable[[], dt.datetime] = _utc_now,
    ) -> None:
        self._state = StateDirectory(state_dir.absolute())
        self._addresses = GatewayAddresses(
            listen=listen, public_app=public_app, gateway_app=gateway_app, model=model, admin=admin
        )
        self._settings = ListenerSettings(
            max_request_bytes=max_request_bytes,
            authorize_seconds=authorize_seconds,
            access_log=access_log.absolute() if access_log else None,
            tracing=tracing,
            metering=metering,
        )
        self._envoy = envoy
        self._concurrency = concurrency
        self._start_seconds = start_seconds
        self._now = now
        self._limits = rate_limits({})
        self._routes = route_configuration([])
        self._process: EnvoyProcess | None = None
        self._address = listen
        self._admin = admin

    @property
    def ca_certificate(self) -> Path:
        """The CA certificate that clients have to trust; there once the gateway has started."""
        return self._state.certificates / "ca.pem"

    @property
    def address(self) -> Address:
        """Where the gateway listens; with the port that was chosen, once it has started."""
        return self._address

    @property
    def admin(self) -> Address:
        """Where Envoy's admin interface listens; with the port that was chosen, once it has started."""
        return self._admin

    def update(self, tier_limits: Mapping[str, int], models: Sequence[str]) -> None:
        """Put limits and models in force; a running gateway has them within milliseconds.

        What is in force already is not written again. New limits give everybody full buckets; new
        models alone leave every bucket as it is.

        Args:
            tier_limits: Requests per minute of one owner, by tier.
            models: The ids of the models there are.

        Raises:
            ValueError: A limit is less than one, or a name is empty. Nothing has changed then.
        """
        limits, routes = rate_limits(tier_limits), route_configuration(sorted(set(models)))
        self._limits, self._routes = limits, routes
        if self._process is not None:
            self._write_live()

    async def start(self) -> None:
        """Start the gateway; it serves when this returns.

        Raises:
            EnvoyNotFoundError: There is no Envoy on this machine.
            PortTakenError: `listen` or `admin` is not free.
            EnvoyStartError: Envoy did not start.
        """
        envoy = await asyncio.to_thread(self._prepare)
        self._process = EnvoyProcess(
            envoy, self._state, concurrency=self._concurrency, start_seconds=self._start_seconds
        )
        self._write_live()
        try:
            self._address, self._admin = await self._process.start()
        except BaseException:
            self._process = None
            raise

    async def wait(self) -> int:
        """Return Envoy's exit code when it ends, which it does by itself only when it fails."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> None:
        """Stop the gateway; what is under way is cut."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _prepare(self) -> Path:
        envoy = self._envoy or find_envoy()
        for address in (self._addresses.listen, self._addresses.admin):
            ensure_free(address)
        self._state.create()
        certificates = ensure_certificates(self._state.certificates, self._now)
        configuration = bootstrap(self._addresses, self._state, certificates, self._settings)
        with os.fdopen(
            os.open(self._state.bootstrap, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as file:
            json.dump(configuration, file, indent=2)
        return envoy

    def _write_live(self) -> None:
        ResourceFile(self._state.limits).write(self._limits)
        ResourceFile(self._state.routes).write(self._routes)
