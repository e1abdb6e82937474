"""How tests are spread over workers when several run them (pytest-xdist)."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Each of these runs an `envoy-gateway`, of which there can be but one on a machine.
_ONE_WORKER = ("tests/e2e/envoy_gateway/", "tests/e2e/kuadrant/")


class OneWorkerForEnvoyGateway(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is for one worker, which sets up once what its tests share; all that run Envoy Gateway are too.

    The marker `xdist_group` is not used: pytest-xdist 3.8 does nothing about it with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "envoy-gateway" if nodeid.startswith(_ONE_WORKER) else nodeid.partition("::")[0]
