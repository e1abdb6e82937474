from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from app.embedded.kubernetes import User
from app.kube.connect import connect
from app.kube.errors import KubeError
from app.kube.resources import CONFIG_MAPS, Resource
from tests.control_plane import ControlPlane, ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.kube.client import KubeClient
    from tests.control_plane import Binaries

pytestmark = pytest.mark.cluster

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
CONFIG_MAP_PATH = "/api/v1/namespaces/default/configmaps"
SELF_SUBJECT_REVIEWS = Resource("authentication.k8s.io/v1", "selfsubjectreviews")
SCOPES = "scopes.authorization.openshift.io"
ALICE = User("alice@example.com", ("premium-users",), uid="1", extra={SCOPES: ("user:info",)})


@pytest.fixture(scope="module", params=[True, False], ids=["watch-cache", "no-watch-cache"])
async def own_control_plane(
    request: pytest.FixtureRequest, binaries: Binaries
) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(binaries, watch_cache=request.param) as started:
        yield started


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def review(control_plane: ControlPlane, token: str) -> dict[str, Any]:
    answer = await control_plane.client.post(TOKEN_REVIEWS, json={"spec": {"token": token}})
    status: dict[str, Any] = answer.raise_for_status().json()["status"]
    return status


async def resource_version(control_plane: ControlPlane) -> str:
    listed = (await control_plane.client.get(CONFIG_MAP_PATH)).raise_for_status().json()
    version: str = listed["metadata"]["resourceVersion"]
    return version


async def first_event(control_plane: ControlPlane, since: str) -> dict[str, Any]:
    watch = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "20"}
    async with control_plane.client.stream("GET", CONFIG_MAP_PATH, params=watch) as events:
        assert events.status_code == 200
        async for line in events.aiter_lines():
            event: dict[str, Any] = json.loads(line)
            return event
    raise AssertionError("the watch ended without an event")


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    client = await connect(
        str(kubeconfig),
        timeout_seconds=10,
        connections=2,
        observe=lambda *_: None,
        random=random.Random(1),  # noqa: S311  # spreads retries
    )
    try:
        yield client
    finally:
        await client.close()


async def who_am_i(kubeconfig: Path) -> str:
    async with connected(kubeconfig) as client:
        answer = await client.review(SELF_SUBJECT_REVIEWS, {})
    username: str = answer["status"]["userInfo"]["username"]
    return username


async def test_a_token_review_tells_groups_uid_and_extra_of_a_user(control_plane: ControlPlane) -> None:
    control_plane.add_user("sha256~review", ALICE)
    status = await review(control_plane, "sha256~review")
    assert status["authenticated"] is True
    assert status["user"] == {
        "username": "alice@example.com",
        "uid": "1",
        "groups": ["premium-users", "system:authenticated"],
        "extra": {SCOPES: ["user:info"]},
    }


async def test_a_token_of_nobody_is_not_authenticated(control_plane: ControlPlane) -> None:
    control_plane.add_user("sha256~removed", ALICE)
    control_plane.remove_user("sha256~removed")
    status = await review(control_plane, "sha256~removed")
    assert not status.get("authenticated")


async def test_an_issued_token_verifies_with_the_published_keys(control_plane: ControlPlane) -> None:
    await control_plane.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "issued"}})
    token = await control_plane.service_account_token("default", "issued", audiences=["models"])
    keys = jwt.PyJWKSet.from_dict((await control_plane.client.get("/openid/v1/jwks")).json())
    claims = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["RS256"],
        audience="models",
        issuer="https://kubernetes.default.svc",
    )
    assert claims["sub"] == "system:serviceaccount:default:issued"


async def test_kubeconfigs_stand_for_whom_they_were_made_for(control_plane: ControlPlane) -> None:
    control_plane.add_user("sha256~kubeconfig", ALICE)
    alice = control_plane.kubeconfig("alice", token="sha256~kubeconfig")
    admin = control_plane.kubeconfig("admin-token", token=control_plane.admin_token)
    assert await who_am_i(alice) == "alice@example.com"
    assert await who_am_i(admin) == "admin"
    assert await who_am_i(control_plane.admin_kubeconfig) == "admin"


async def test_a_kubeconfig_without_a_token_is_for_nobody(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig("nobody")) as nobody:
        with pytest.raises(KubeError) as refused:
            await nobody.list(CONFIG_MAPS, namespace="default")
    assert refused.value.status == 403


async def test_what_is_applied_is_seen_by_a_watch(control_plane: ControlPlane) -> None:
    since = await resource_version(control_plane)
    watching = asyncio.create_task(first_event(control_plane, since), name="watch")
    await control_plane.apply(config_map("watched", colour="green"))
    event = await watching
    assert event["type"] == "ADDED"
    assert event["object"]["data"] == {"colour": "green"}


async def test_applying_again_changes_the_object(control_plane: ControlPlane) -> None:
    await control_plane.apply(config_map("changed", colour="green"))
    stored = await control_plane.apply(config_map("changed", colour="blue"))
    assert stored["data"] == {"colour": "blue"}


async def test_models_are_validated_and_keep_the_status_they_are_given(control_plane: ControlPlane) -> None:
    model: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "qwen3", "namespace": "default"},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "simulator"}}}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    stored = await control_plane.apply(model)
    assert stored["status"]["conditions"][0]["type"] == "Ready"
    with pytest.raises(ControlPlaneError, match="minReplicas"):
        await control_plane.apply({**model, "spec": {"predictor": {"minReplicas": "many"}}})


async def test_openshift_groups_can_be_applied(control_plane: ControlPlane) -> None:
    # Not one that a tier has: other tests' people live in this cluster too.
    group = {"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": "bird-watchers"}}
    stored = await control_plane.apply({**group, "users": ["nobody"]})
    assert stored["users"] == ["nobody"]


async def test_a_kind_that_is_not_served_is_named(control_plane: ControlPlane) -> None:
    with pytest.raises(LookupError, match=r"no Unicorn of example\.com/v1"):
        await control_plane.apply(
            {"apiVersion": "example.com/v1", "kind": "Unicorn", "metadata": {"name": "u"}}
        )


async def test_a_paused_api_server_comes_back_on_its_port_with_its_data(
    own_control_plane: ControlPlane,
) -> None:
    await own_control_plane.apply(config_map("kept", colour="green"))
    url = own_control_plane.url
    await own_control_plane.pause()
    with pytest.raises(httpx.ConnectError):
        await own_control_plane.client.get("/readyz")
    await own_control_plane.resume()
    kept = await own_control_plane.client.get(f"{url}{CONFIG_MAP_PATH}/kept")
    assert kept.json()["data"] == {"colour": "green"}


async def test_a_frozen_api_server_is_silent_until_it_thaws(own_control_plane: ControlPlane) -> None:
    own_control_plane.freeze()
    try:
        with pytest.raises(httpx.ReadTimeout):
            await own_control_plane.client.get("/version", timeout=0.3)
    finally:
        own_control_plane.thaw()
    assert (await own_control_plane.client.get("/version")).json()["gitVersion"].startswith("v1.")


async def test_a_watch_from_before_a_compaction_is_told_410_in_its_stream(
    own_control_plane: ControlPlane,
) -> None:
    since = await resource_version(own_control_plane)
    await own_control_plane.pause()
    await own_control_plane.compact()
    await own_control_plane.resume()
    event = await first_event(own_control_plane, since)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_list_continued_after_a_compaction_is_answered_410(own_control_plane: ControlPlane) -> None:
    for name in ("first", "second"):
        await own_control_plane.apply(config_map(name))
    page = (await own_control_plane.client.get(CONFIG_MAP_PATH, params={"limit": "1"})).json()
    await own_control_plane.pause()
    await own_control_plane.compact()
    await own_control_plane.resume()
    rest = {"limit": "1", "continue": page["metadata"]["continue"]}
    answer = await own_control_plane.client.get(CONFIG_MAP_PATH, params=rest)
    assert answer.status_code == 410


async def test_a_failed_start_shows_the_log_and_leaves_nothing_behind(
    binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ControlPlaneError, match=r"ended with exit code 1(.|\n)*no-such-flag"):
        await ControlPlane(binaries, flags=["--no-such-flag"]).start()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_a_control_plane_ends_with_the_process_that_started_it(
    binaries: Binaries, tmp_path: Path
) -> None:
    program = (
        "import asyncio\n"
        "from tests.control_plane import ControlPlane, find_binaries\n"
        "async def main():\n"
        "    async with ControlPlane(find_binaries()) as started:\n"
        "        print(started.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={"TMPDIR": str(tmp_path), "PATH": ""},
    )
    assert process.stdout is not None
    url = httpx.URL((await process.stdout.readline()).decode().strip())
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(10):
        await refuses_connections(url)


async def refuses_connections(url: httpx.URL) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(url.host, url.port)
        except OSError:
            return
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await asyncio.sleep(0.02)
