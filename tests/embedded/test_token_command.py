"""`maasctl token` against the running platform, as a developer uses it in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.maasctl import Up, environment, maasctl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded.conftest import Newcomer

# Each test starts the command several times.
pytestmark = pytest.mark.timeout(400)


class Token:
    def __init__(self, platform: Up, home: Path, **variables: str) -> None:
        self._env = environment(
            HOME=str(home), GATEWAY_URL=platform.url.removeprefix("https://"), **variables
        )
        self._ca = str(platform.state_dir.absolute() / "gateway" / "certificates" / "ca.pem")

    async def __call__(self, *arguments: str, trusted: bool = True) -> tuple[int, str, str]:
        trust = (f"--cacert={self._ca}",) if trusted else ()
        async with maasctl("token", *arguments, *trust, env=self._env) as running:
            code = await running.ended(seconds=60)
        assert "Traceback" not in running.errors
        return code, running.output, running.errors


def write_kubeconfig(directory: Path, user: dict[str, Any]) -> Path:
    """Of somebody whose cluster is not needed."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "me",
        "contexts": [{"name": "me", "context": {"cluster": "away", "user": "me"}}],
        "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": user}],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


async def test_a_token_is_all_that_is_printed_and_works_until_it_is_revoked(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    token = Token(platform, tmp_path, MAAS_CALLER_TOKEN=newcomer.token)

    code, output, errors = await token("get", "--name=laptop", "--expiration=1h")

    assert code == 0, errors
    jwt = output.removesuffix("\n")
    assert jwt.count(".") == 2
    assert not set(jwt) & set(" \n\x1b")
    assert "tier free, expires " in errors
    assert jwt not in errors
    holder = platform.person(jwt)
    assert (await holder.get("/v1/models")).status_code == 200
    code, output, _ = await token("list")
    token_id = output.strip()
    assert errors.strip().endswith(f"id {token_id}")

    assert (await token("revoke", token_id))[0] == 0

    assert (await holder.get("/v1/models")).status_code == 401
    assert await token("list") == (0, "", "")


async def test_all_tokens_are_listed_over_pages_and_revoked_at_once(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    person = platform.person(newcomer.token)
    ids = [(await person.issued())["id"] for _ in range(3)]
    token = Token(platform, tmp_path, MAAS_CALLER_TOKEN=newcomer.token)

    _, output, _ = await token("list")
    assert output.split() == ids
    code, _, errors = await token("revoke", "--all")
    assert (code, errors) == (0, "revoked 3\n")
    assert await person.listed() == []


async def test_the_token_of_the_kubeconfig_is_brought(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    kubeconfig = write_kubeconfig(tmp_path, {"token": newcomer.token})
    code, output, errors = await Token(platform, tmp_path, KUBECONFIG=str(kubeconfig))("get")
    assert code == 0, errors
    assert output.startswith("eyJ")


async def test_a_program_that_gives_the_token_is_run(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        f' "status": {{"token": "{newcomer.token}"}}}}'
    )
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [str(tmp_path / "token")],
        "interactiveMode": "Never",
    }
    kubeconfig = write_kubeconfig(tmp_path, {"exec": program})
    code, _, errors = await Token(platform, tmp_path, KUBECONFIG=str(kubeconfig))("get")
    assert code == 0, errors


async def test_what_is_refused_is_told_in_the_words_of_the_service(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    code, output, errors = await Token(platform, tmp_path, MAAS_CALLER_TOKEN="made-up")("get")
    assert (code, output) == (1, "")
    assert "(invalid_token)" in errors
    assert "made-up" not in errors
    token = Token(platform, tmp_path, MAAS_CALLER_TOKEN=newcomer.token)
    assert "(expiration_out_of_range)" in (await token("get", "--expiration=1s"))[2]
    assert "(token_not_found)" in (await token("revoke", "nobody-sa-1"))[2]
    assert "is no id of a token" in (await token("revoke", "../admin/tokens"))[2]
    assert (await token("revoke"))[0] == 2
    assert (await token("revoke", "--all", "some"))[0] == 2


async def test_a_certificate_that_is_not_trusted_is_told_with_what_to_do(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    token = Token(platform, tmp_path, MAAS_CALLER_TOKEN=newcomer.token)
    code, _, errors = await token("get", trusted=False)
    assert code == 1
    assert "give its CA with --cacert FILE" in errors
    assert (await token("get", "--insecure", trusted=False))[0] == 0


async def test_without_a_token_or_a_gateway_it_is_told_what_is_missing(platform: Up, tmp_path: Path) -> None:
    code, _, errors = await Token(platform, tmp_path)("get")
    assert code == 1
    assert "log in with `oc login`, or give" in errors
    async with maasctl(
        *("token", "get"),
        env=environment(HOME=str(tmp_path), MAAS_CALLER_TOKEN="x", KUBECONFIG=str(platform.kubeconfig)),
    ) as running:
        assert await running.ended(seconds=60) == 1
    assert "give --gateway HOST, or set GATEWAY_URL" in running.errors
