from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes import create_app
from tests.unit.embedded.kubernetes.api import CONFIG_MAPS, MAAS, config_map, failure

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from app.embedded.kubernetes import Cluster
    from tests.unit.embedded.kubernetes.api import API


async def test_every_request_fails_until_the_fault_is_cleared(api: API, cluster: Cluster) -> None:
    cluster.faults.fail(503, retry_after=7)
    for _ in range(3):
        answer = await api.get(MAAS)
        assert failure(answer)[:2] == (503, "ServiceUnavailable")
        assert answer.headers["retry-after"] == "7"
    cluster.faults.clear()
    assert (await api.get(MAAS)).status_code == 200


async def test_a_fault_can_strike_a_number_of_times(api: API, cluster: Cluster) -> None:
    cluster.faults.fail(500, times=2)
    assert [(await api.get(MAAS)).status_code for _ in range(3)] == [500, 500, 200]


async def test_a_fault_can_choose_its_requests(api: API, cluster: Cluster) -> None:
    cluster.faults.fail(429, matches=lambda method, path: method == "POST" and path.endswith("/configmaps"))
    assert failure(await api.post(CONFIG_MAPS, config_map()))[:2] == (429, "TooManyRequests")
    assert (await api.get(CONFIG_MAPS)).status_code == 200


async def test_answers_can_be_delayed(api: API, cluster: Cluster) -> None:
    cluster.faults.delay = 60
    request = asyncio.create_task(api.get(MAAS))
    await asyncio.wait({request}, timeout=0.05)
    assert not request.done()
    request.cancel()
    cluster.faults.delay = 0.001
    assert (await api.get(MAAS)).status_code == 200


async def test_a_client_that_goes_away_with_half_a_body_is_forgotten(cluster: Cluster) -> None:
    sent: list[Any] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": CONFIG_MAPS,
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer admin")],
    }
    await create_app(cluster)(scope, receive, send)
    assert sent == []


async def test_the_end_of_the_server_closes_the_cluster(cluster: Cluster) -> None:
    messages = iter(("lifespan.startup", "lifespan.shutdown"))
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": next(messages)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await create_app(cluster)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert cluster.closed


async def test_websockets_are_not_served(cluster: Cluster) -> None:
    async def unused(*_: Any) -> Any:
        raise AssertionError

    await create_app(cluster)({"type": "websocket"}, unused, unused)
