"""A long list must not hold up the decisions that are made meanwhile."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from app.kube.backoff import Backoff
from app.kube.forms import METADATA
from app.kube.reflector import Listing, Reflector
from app.kube.resources import SERVICE_ACCOUNTS
from app.tokens.inventory import Inventory
from app.tokens.names import owner_label
from tests.unit.kube.scripted_api_server import ScriptedApiServer, gone, scripted, stream
from tests.unit.tokens.test_record import an_account
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENS, PAGE = 20_000, 500
LONGEST_SECONDS = 0.05


def account(number: int) -> dict[str, Any]:
    owner = f"user-{number // 20}@example.com"
    obj = an_account()
    metadata = obj["metadata"]
    metadata |= {"name": f"user-sa-{number}", "uid": f"uid-{number}", "resourceVersion": str(1000 + number)}
    metadata["labels"]["maas.opendatahub.io/owner"] = owner_label(owner)
    metadata["annotations"]["maas.opendatahub.io/username"] = owner
    metadata["managedFields"] = [{"manager": "maas-api", "fieldsV1": {f"f:{key}": {} for key in range(20)}}]
    return obj


def pages() -> list[Callable[[Any], Response]]:
    """One list, in pages."""
    made: list[Callable[[Any], Response]] = []
    for start in range(0, TOKENS, PAGE):
        metadata = {"resourceVersion": "900000"}
        if start + PAGE < TOKENS:
            metadata["continue"] = str(start + PAGE)
        items = [account(number) for number in range(start, start + PAGE)]
        body = orjson.dumps({"kind": "List", "metadata": metadata, "items": items})
        made.append(partial(answer, body))
    return made


def answer(body: bytes, _request: object) -> Response:
    return Response(body, media_type="application/json")


class Turns:
    """How much of the processor the longest turn of the event loop took; a busy machine does not count."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            started = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - started)


async def test_neither_the_first_nor_a_new_list_of_20_000_tokens_holds_up_the_loop(tmp_path: Path) -> None:
    once = pages()
    server = ScriptedApiServer([*once, *once], [gone(), stream()])
    inventory, lists, turns = Inventory(clock=time.monotonic), [], Turns()
    inventory.subscribe(lambda token: lists.append(len(inventory)) if token is None else None)
    async with scripted(server, tmp_path) as client:
        reflector = Reflector(
            client,
            SERVICE_ACCOUNTS,
            inventory,
            backoff=Backoff(random.Random(1), first=0.01, most=0.05),  # noqa: S311  # spreads retries
            clock=time.monotonic,
            observe=lambda *_: None,
            namespace="maas",
            listing=Listing(PAGE, METADATA),
        )
        # The collector would look at everything that the tests have left behind.
        gc.disable()
        tasks = [asyncio.create_task(reflector.run()), asyncio.create_task(turns.watch())]
        try:
            await eventually(lambda: 0 < len(inventory) < TOKENS, seconds=60)
            assert not reflector.synced
            await eventually(lambda: len(lists) == 2, seconds=60)
        finally:
            gc.enable()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert lists == [TOKENS, TOKENS]
    assert turns.longest < LONGEST_SECONDS
