"""Issuing when the API server is difficult: nothing is left over, and nothing is promised that is not so."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.kube.backoff import Backoff
from app.kube.errors import KubeConflictError, KubeError, KubeInvalidError, KubeUnavailableError
from app.kube.timestamps import timestamp
from app.tokens.inventory import Inventory
from app.tokens.issuer import IssuedToken, Issuer, Lifetimes
from app.tokens.orphans import Orphans
from tests.unit.kube.scripted_api_server import json, scripted
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from app.kube.client import KubeClient

NOW = 1_795_000_000.5
GROUPS = ("system:authenticated",)


class Accounts:
    """The ServiceAccounts of an API server, and what it answers to a TokenRequest."""

    def __init__(self, *, expires: str = "2026-11-19T06:06:40Z") -> None:
        self.names: dict[str, dict[str, Any]] = {}
        self.patches: list[dict[str, Any]] = []
        self.created = 0
        self.create_answers: list[Response] = []
        self.token_answers: list[Response] = []
        self.delete_answers: list[Response] = []
        self.requested = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()
        self.expires = expires

    async def answer(self, request: Request) -> Response:
        if request.method == "GET":
            return self._found(request.url.path.rpartition("/")[2])
        body = orjson.loads(await request.body())
        if request.method == "DELETE":
            if self.delete_answers:
                return self.delete_answers.pop()
            self.names.pop(request.url.path.rpartition("/")[2])
            return json({})
        if request.method == "PATCH":
            self.patches.append(body)
            known = self.names[request.url.path.rpartition("/")[2]]["metadata"]
            known["annotations"] |= body["metadata"]["annotations"]
            known["resourceVersion"] = "8"
            return json({"metadata": known})
        if request.url.path.endswith("/token"):
            self.requested.set()
            await self.let.wait()
            status = {"token": "eyJ.a.b", "expirationTimestamp": self.expires}
            return self.token_answers.pop() if self.token_answers else json({"status": status}, 201)
        return self._create(body)

    def _create(self, body: dict[str, Any]) -> Response:
        name = body["metadata"]["name"]
        if name in self.names:
            return json({"reason": "AlreadyExists", "message": f"{name} exists"}, 409)
        server_side = {
            "uid": f"u-{name}",
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-18T06:06:40Z",
        }
        body["metadata"] |= server_side
        self.names[name] = body
        self.created += 1
        # An answer that is lost: what was asked for is there all the same.
        return self.create_answers.pop() if self.create_answers else json(body, 201)

    def _found(self, name: str) -> Response:
        return json(self.names[name]) if name in self.names else json({"reason": "NotFound"}, 404)


def orphans_of(client: KubeClient) -> Orphans:
    backoff = Backoff(random.Random(1), first=0.01)  # noqa: S311  # spreads retries
    return Orphans(client, namespace="maas", backoff=backoff, clock=time.monotonic)


def issuer_of(
    client: KubeClient,
    inventory: Inventory,
    orphans: Orphans | None = None,
    *,
    time: Callable[[], float] = lambda: NOW,
) -> Issuer:
    return Issuer(
        client,
        inventory,
        orphans_of(client) if orphans is None else orphans,
        namespace="maas",
        audience="gateway",
        lifetimes=Lifetimes(86_400, 600, 2_592_000),
        time=time,
        mark=lambda: secrets.token_hex(8),
    )


async def issue_with(issuer: Issuer, *, max_tokens: int = 2) -> IssuedToken:
    return await issuer.issue(
        "alice", groups=GROUPS, cluster_groups=(), tier="free", name="", seconds=None, max_tokens=max_tokens
    )


async def issue(accounts: Accounts, directory: Path, inventory: Inventory | None = None) -> IssuedToken:
    async with scripted(accounts, directory) as client:
        return await issue_with(
            issuer_of(client, Inventory(clock=lambda: NOW) if inventory is None else inventory)
        )


async def test_what_was_issued_is_in_the_inventory_and_its_secret_nowhere(tmp_path: Path) -> None:
    inventory = Inventory(clock=lambda: NOW)
    issued = await issue(Accounts(), tmp_path, inventory)
    assert inventory.by_id(issued.record.id) == issued.record
    assert "eyJ" not in repr(issued)


async def test_an_expiry_as_asked_for_needs_no_further_call(tmp_path: Path) -> None:
    accounts = Accounts(expires=timestamp(int(NOW) + 86_400))
    issued = await issue(accounts, tmp_path)
    assert accounts.patches == []
    assert issued.record.expires_at == int(NOW) + 86_400


async def test_a_lifetime_that_was_shortened_is_told_as_it_is(tmp_path: Path) -> None:
    accounts = Accounts(expires="2026-11-18T08:00:00Z")
    issued = await issue(accounts, tmp_path)
    [patch] = accounts.patches
    assert patch["metadata"]["annotations"] == {"maas.opendatahub.io/expires-at": "2026-11-18T08:00:00Z"}
    assert patch["metadata"]["uid"] == issued.record.uid
    assert issued.record.resource_version == 8


async def test_of_a_busy_api_server_the_second_is_expected_in_which_it_issues(tmp_path: Path) -> None:
    class Busy(Accounts):
        now = NOW

        async def answer(self, request: Request) -> Response:
            if request.method == "POST":
                self.now += 0.1
                self.expires = timestamp(int(self.now) + 86_400)
            return await super().answer(request)

    accounts, corrected = Busy(), []
    async with scripted(accounts, tmp_path) as client:
        issuer = issuer_of(client, Inventory(clock=lambda: NOW), time=lambda: accounts.now)
        for number in range(30):
            accounts.now = int(NOW) + number + 0.9  # The next second begins while it is issued.
            issued = await issue_with(issuer, max_tokens=100)
            assert timestamp(issued.record.expires_at) == accounts.expires
            corrected.append(len(accounts.patches))
    assert corrected[0] == 1
    assert corrected[15] == corrected[-1]


async def test_a_clock_that_is_set_misleads_nobody(tmp_path: Path) -> None:
    class Leaping(Accounts):
        now = NOW

        async def answer(self, request: Request) -> Response:
            if request.url.path.endswith("/token"):
                self.now += 3600
            return await super().answer(request)

    accounts = Leaping()
    async with scripted(accounts, tmp_path) as client:
        issuer = issuer_of(client, Inventory(clock=lambda: NOW), time=lambda: accounts.now)
        for _ in range(5):
            accounts.expires = timestamp(int(accounts.now) + 86_400)
            await issue_with(issuer, max_tokens=100)
    assert accounts.patches == []


async def test_a_taken_name_is_tried_again_one_later(tmp_path: Path) -> None:
    accounts = Accounts()
    accounts.names = {f"alice-sa-{int(NOW * 1000) + number}": {} for number in range(3)}
    issued = await issue(accounts, tmp_path)
    assert issued.record.id == f"alice-sa-{int(NOW * 1000) + 3}"


async def test_when_every_name_is_taken_it_is_asked_to_come_back(tmp_path: Path) -> None:
    accounts = Accounts()
    accounts.names = {f"alice-sa-{int(NOW * 1000) + number}": {} for number in range(50)}
    with pytest.raises(KubeUnavailableError):
        await issue(accounts, tmp_path)


@pytest.mark.parametrize(
    ("status", "error"), [(500, KubeUnavailableError), (422, KubeInvalidError), (409, KubeConflictError)]
)
async def test_a_failed_token_request_takes_its_service_account_along(
    tmp_path: Path, status: int, error: type[KubeError]
) -> None:
    accounts = Accounts()
    accounts.token_answers = [json({"message": "no"}, status)]
    inventory = Inventory(clock=lambda: NOW)
    with pytest.raises(error):
        await issue(accounts, tmp_path, inventory)
    assert accounts.names == {}
    assert len(inventory) == 0


@pytest.mark.parametrize(
    "answer", [json({"status": {}}, 201), json({}, 201), json({"status": {"expirationTimestamp": "x"}}, 201)]
)
async def test_an_answer_that_makes_no_sense_takes_the_service_account_along(
    tmp_path: Path, answer: Response
) -> None:
    accounts = Accounts()
    accounts.token_answers = [answer]
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is, nothing may be left over
        await issue(accounts, tmp_path)
    assert accounts.names == {}


async def test_a_caller_who_goes_away_leaves_no_service_account_behind(tmp_path: Path) -> None:
    accounts = Accounts()
    accounts.let.clear()
    async with scripted(accounts, tmp_path) as client:
        orphans = orphans_of(client)
        removing = asyncio.create_task(orphans.run())
        issuer = issuer_of(client, Inventory(clock=lambda: NOW), orphans)
        issuing = asyncio.create_task(issue_with(issuer, max_tokens=1))
        await accounts.requested.wait()
        issuing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await issuing
        await eventually(lambda: accounts.names == {})
        removing.cancel()
        accounts.let.set()
        # The place is free again.
        await issue_with(issuer, max_tokens=1)


@pytest.mark.parametrize(("status", "left"), [(404, 0), (409, 0), (500, 1)])
async def test_what_cannot_be_cleaned_up_now_is_kept_in_mind_and_the_first_error_is_told(
    tmp_path: Path, status: int, left: int
) -> None:
    accounts = Accounts()
    accounts.token_answers = [json({"message": "first"}, 422)]
    accounts.delete_answers = [json({"message": "second"}, status)] * 2
    inventory = Inventory(clock=lambda: NOW)
    async with scripted(accounts, tmp_path) as client:
        orphans = orphans_of(client)
        with pytest.raises(KubeInvalidError, match="first"):
            await issue_with(issuer_of(client, inventory, orphans))
    assert len(orphans) == left
    assert len(inventory) == 0


@pytest.mark.parametrize("status", [500, 504])
async def test_a_create_whose_outcome_is_unknown_leaves_nothing_behind(tmp_path: Path, status: int) -> None:
    accounts = Accounts()
    accounts.create_answers = [json({"message": "timed out"}, status)]
    async with scripted(accounts, tmp_path) as client:
        orphans = orphans_of(client)
        removing = asyncio.create_task(orphans.run())
        with pytest.raises(KubeUnavailableError):
            await issue_with(issuer_of(client, Inventory(clock=lambda: NOW), orphans))
        await eventually(lambda: accounts.names == {} and len(orphans) == 0)
        assert accounts.created == 1
        removing.cancel()


async def test_a_token_that_was_changed_while_it_was_issued_is_known_as_it_is_then(tmp_path: Path) -> None:
    accounts = Accounts(expires="2026-11-18T07:06:40Z")
    inventory = Inventory(clock=lambda: NOW)
    accounts.let.clear()
    async with scripted(accounts, tmp_path) as client:
        issuing = asyncio.create_task(issue_with(issuer_of(client, inventory)))
        await accounts.requested.wait()
        (account,) = accounts.names.values()
        account["metadata"]["annotations"]["maas.opendatahub.io/groups"] = "[]"
        accounts.let.set()
        issued = await issuing
    assert issued.record.groups == ()
    assert inventory.by_uid(issued.record.uid) == issued.record
