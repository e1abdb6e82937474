"""What is sent along with the creation of an object: in one go, in order, and never lost without a word."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from app.kube.errors import KubeConflictError, KubeNotFoundError, KubeUnavailableError
from app.kube.resources import SERVICE_ACCOUNTS
from tests.unit.kube import scripted_api_server
from tests.unit.kube.test_connections import serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path
    from typing import Any

    from app.kube.client import KubeClient
    from app.kube.pipeline import Pipeline
    from tests.unit.kube.test_connections import Behaviour, Request, Server

Seen = list[tuple[str, str, str | None, int, float]]
ACCOUNT, TOKEN = {"kind": "ServiceAccount"}, {"kind": "TokenRequest"}


def said(document: object, status: int = 201, *headers: str) -> bytes:
    body = orjson.dumps(document)
    head = "\r\n".join([f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def is_token(request: Request) -> bool:
    return "/token " in request.head[0]


def echoing(**statuses: int) -> Behaviour:
    """Answers each with what was sent; `create` and `token` may have other statuses than 201."""

    async def behave(_server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        status = statuses.get("token" if is_token(request) else "create", 201)
        writer.write(said(orjson.loads(request.body) if status == 201 else {"message": "no"}, status))

    return behave


@asynccontextmanager
async def client_of(
    server: Server, directory: Path, seen: Seen | None = None, *, port: int = 0, seconds: float = 5
) -> AsyncIterator[KubeClient]:
    (directory / "token").write_text("sha256~service")
    async with scripted_api_server.client_of(
        port or server.port,
        directory,
        user={"tokenFile": str(directory / "token")},
        connections=4,
        seconds=seconds,
        observe=lambda *call: None if seen is None else seen.append(call),
    ) as client:
        yield client


def both(
    pipeline: Pipeline,
) -> tuple[Coroutine[Any, Any, dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]:
    creating = pipeline.create(SERVICE_ACCOUNTS, ACCOUNT, namespace="maas")
    requesting = pipeline.create(
        SERVICE_ACCOUNTS, TOKEN, namespace="maas", name="a", subresource="token", repeatable=True
    )
    return creating, requesting


async def ask_both(client: KubeClient) -> tuple[dict[str, Any], dict[str, Any]]:
    async with client.pipeline() as pipeline:
        creating, requesting = both(pipeline)
        return await creating, await requesting


async def test_the_server_begins_before_more_is_made(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await echoing()(server, request, writer)

    async with (
        serving(behave) as server,
        client_of(server, tmp_path) as client,
        client.pipeline() as pipeline,
    ):
        creating = pipeline.create(SERVICE_ACCOUNTS, ACCOUNT, namespace="maas")
        async with asyncio.timeout(5):
            await begun.wait()
        requesting = pipeline.create(
            SERVICE_ACCOUNTS, TOKEN, namespace="maas", name="a", subresource="token", repeatable=True
        )
        assert (await creating, await requesting) == (ACCOUNT, TOKEN)


async def test_both_are_sent_before_one_is_answered_and_the_connection_is_used_again(tmp_path: Path) -> None:
    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        # The first is answered only when the second is here.
        if is_token(request):
            writer.write(said(ACCOUNT) + said(TOKEN))

    seen: Seen = []
    async with serving(behave) as server, client_of(server, tmp_path, seen) as client:
        for _ in range(3):
            assert await ask_both(client) == (ACCOUNT, TOKEN)
        assert server.opened == 1
        assert [is_token(request) for request in server.requests] == [False, True] * 3
        asked = [("create", "serviceaccounts", None, 201), ("create", "serviceaccounts", "token", 201)]
        assert [call[:4] for call in seen] == asked * 3
        assert "Authorization: Bearer sha256~service" in server.requests[1].head


async def test_many_at_once_each_get_their_own_answers(tmp_path: Path) -> None:
    async def one(client: KubeClient, number: int) -> bool:
        account, token = {"number": number}, {"number": -number}
        async with client.pipeline() as pipeline:
            creating = pipeline.create(SERVICE_ACCOUNTS, account, namespace="maas")
            requesting = pipeline.create(
                SERVICE_ACCOUNTS, token, namespace="maas", name="a", subresource="token"
            )
            return (await creating, await requesting) == (account, token)

    async with serving(echoing()) as server, client_of(server, tmp_path) as client:
        assert all(await asyncio.gather(*(one(client, number) for number in range(50))))
        assert server.most_open <= 4


async def test_where_the_first_is_refused_the_second_is_not_waited_for(tmp_path: Path) -> None:
    async def behave(_server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        if not is_token(request):
            writer.write(said({"message": "no"}, 409))

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        with pytest.raises(KubeConflictError):
            await ask_both(client)
        await until(lambda: server.open == 0)


async def test_a_server_that_closes_after_the_first_is_asked_for_the_second_by_itself(tmp_path: Path) -> None:
    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        closes = ("Connection: close",) if not is_token(request) else ()
        writer.write(said(orjson.loads(request.body), 201, *closes))
        if closes:
            await writer.drain()
            raise ConnectionError

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        assert await ask_both(client) == (ACCOUNT, TOKEN)
        assert [is_token(request) for request in server.requests] == [False, True]


async def test_what_came_before_that_to_which_it_belongs_is_sent_again(tmp_path: Path) -> None:
    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        early = is_token(request) and len(server.requests) == 2
        writer.write(said({"message": "no"}, 404) if early else said(orjson.loads(request.body)))

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        assert await ask_both(client) == (ACCOUNT, TOKEN)
        assert [is_token(request) for request in server.requests] == [False, True, True]


async def test_what_is_not_found_for_good_is_told(tmp_path: Path) -> None:
    async with serving(echoing(token=404)) as server, client_of(server, tmp_path) as client:
        with pytest.raises(KubeNotFoundError):
            await ask_both(client)
    async with serving(echoing(create=404)) as server, client_of(server, tmp_path) as client:
        with pytest.raises(KubeNotFoundError):
            await ask_both(client)
        assert sum(not is_token(request) for request in server.requests) == 1


async def test_a_creation_whose_answer_is_lost_is_not_sent_again(tmp_path: Path) -> None:
    async def behave(_server: Server, _request: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        with pytest.raises(KubeUnavailableError):
            await ask_both(client)
        assert sum(not is_token(request) for request in server.requests) == 1


async def test_credentials_that_are_refused_are_read_again_and_both_sent_by_themselves(
    tmp_path: Path,
) -> None:
    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        known = "Authorization: Bearer sha256~renewed" in request.head
        writer.write(said(orjson.loads(request.body)) if known else said({"message": "who?"}, 401))

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        (tmp_path / "token").write_text("sha256~renewed")
        assert await ask_both(client) == (ACCOUNT, TOKEN)


async def test_credentials_that_cannot_be_sent_are_told_as_any_failure(tmp_path: Path) -> None:
    async with serving(echoing()) as server, client_of(server, tmp_path) as client:
        (tmp_path / "token").write_text("sha256~half\r\nX-Remote-User: admin")
        with pytest.raises(KubeUnavailableError):
            await ask_both(client)
        assert server.requests == []


async def test_silence_is_waited_for_once(tmp_path: Path) -> None:
    async def behave(_server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        if not is_token(request):
            writer.write(said(ACCOUNT))

    seen: Seen = []
    async with serving(behave) as server, client_of(server, tmp_path, seen, seconds=0.2) as client:
        with pytest.raises(KubeUnavailableError, match="TimeoutError"):
            await ask_both(client)
        assert [is_token(request) for request in server.requests] == [False, True]
        assert [call[3] for call in seen] == [201, 0]


async def test_a_server_that_is_not_there_is_told_by_the_first(tmp_path: Path) -> None:
    seen: Seen = []
    async with serving(echoing()) as server, client_of(server, tmp_path, seen, port=1) as client:
        with pytest.raises(KubeUnavailableError):
            await ask_both(client)
    assert [call[3] for call in seen] == [0]


async def test_who_leaves_before_the_answers_leaves_no_connection_for_others(tmp_path: Path) -> None:
    async def behave(server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) > 2:
            writer.write(said(orjson.loads(request.body)))

    async with serving(behave) as server, client_of(server, tmp_path) as client:
        leaving = asyncio.create_task(ask_both(client))
        await until(lambda: len(server.requests) == 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await until(lambda: server.open == 0)
        assert await ask_both(client) == (ACCOUNT, TOKEN)
        async with client.pipeline() as pipeline:
            both(pipeline)
        await until(lambda: server.open == 0)


async def test_over_a_proxy_each_is_sent_when_it_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(echoing()) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("no_proxy", "")
        async with client_of(server, tmp_path, port=9) as client, client.pipeline() as pipeline:
            creating, requesting = both(pipeline)
            assert await creating == ACCOUNT
            assert len(server.requests) == 1
            assert await requesting == TOKEN
            assert server.requests[0].head[0].startswith("POST http://127.0.0.1:9/")
