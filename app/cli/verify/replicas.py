"""The gateway app of each replica, which nothing outside of the cluster can reach."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.cli.kubectl import UnansweredError
from app.cli.verify.view import gateway_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.cli.verify.view import View

_SECONDS = 20.0
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+) ")


@asynccontextmanager
async def forwarded(view: View, pod: str) -> AsyncIterator[str]:
    """Yields a URL of the pod's gateway app, by a port-forward: NetworkPolicies let nobody else in.

    Raises:
        KubectlError: there is no way to the pod.
    """
    options = (f"--namespace={view.namespace}", "--address=127.0.0.1")
    async with view.kubectl.lines("port-forward", *options, f"pod/{pod}", f":{gateway_port()}") as lines:
        address = ""
        try:
            async with asyncio.timeout(_SECONDS):
                async for line in lines:
                    if found := _FORWARDING.search(line):
                        address = found[1]
                        break
        except TimeoutError:
            pass
        if not address:
            raise UnansweredError(f"the port-forward to pod {pod} was not there within {_SECONDS:g} s")
        yield f"http://{address}"
