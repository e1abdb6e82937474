"""`maasctl verify` as a process, against what `maasctl up` runs, and against gateways that fail."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.cli.verify.families import CHECKS
from app.kube.resources import SERVICE_ACCOUNTS
from tests.clusters import admin_client
from tests.loopback import serve
from tests.maasctl import environment, maasctl, up
from tests.workspace import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from app.kube.client import KubeClient
    from tests.embedded.conftest import Newcomer
    from tests.maasctl import Up

pytestmark = pytest.mark.timeout(400)

TOKEN = re.compile(r"eyJ[\w-]{5,}")


def through(platform: Up) -> tuple[str, ...]:
    certificate = platform.state_dir / "gateway" / "certificates" / "ca.pem"
    return (
        f"--kubeconfig={platform.kubeconfig}",
        f"--gateway={platform.url}",
        f"--cacert={certificate}",
        f"--metrics={platform.metrics}",
    )


async def verify(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    async with maasctl("verify", *arguments, env=environment(**variables)) as command:
        code = await command.ended(seconds=200)
    assert "Traceback" not in command.errors, command.errors
    assert not TOKEN.search(command.output + command.errors)
    return code, command.output, command.errors


async def checks_of(*arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and each check by its id."""
    code, output, _ = await verify("--output=json", *arguments, **variables)
    document = json.loads(output)
    assert document["result"] == ("fail" if code else "pass")
    return code, {check["id"]: check for check in document["checks"]}


async def left_behind(cluster_admin: KubeClient) -> list[str]:
    """Names of the ServiceAccounts of tokens that verify has issued and not revoked."""
    found = await cluster_admin.list(SERVICE_ACCOUNTS, namespace="maas")
    return [
        account["metadata"]["name"]
        for account in found["items"]
        if account["metadata"].get("annotations", {}).get("maas.opendatahub.io/name") == "maasctl-verify"
    ]


async def test_the_whole_way_passes_and_a_429_is_seen(
    platform: Up, newcomer: Newcomer, cluster_admin: KubeClient
) -> None:
    code, output, errors = await verify(*through(platform), "--spend-limit", MAAS_CALLER_TOKEN=newcomer.token)

    assert (code, errors) == (0, "")
    assert "fail  " not in output
    assert re.search(r"pass +limit\.seen +a 429 among \d+ requests, with Retry-After: \d+", output)
    assert re.search(r"pass +limit\.list ", output)
    assert re.search(r"pass +metrics\.moved +maas_tokens_issued_total went up by ", output)
    assert re.search(r"pass +journey\.revoked +refused \d\.\d\d s after", output)
    assert re.search(r"skip +policies\.enforced +`maasctl up` has neither pods nor a Gateway", output)
    assert newcomer.token not in output
    assert await left_behind(cluster_admin) == []


async def test_programs_get_json_with_the_same_in_it(platform: Up, newcomer: Newcomer) -> None:
    code, checks = await checks_of(*through(platform), MAAS_CALLER_TOKEN=newcomer.token)

    assert code == 0
    assert list(checks) == [check.id for check in CHECKS]
    assert checks["limit.seen"]["status"] == "skip"
    assert "--spend-limit" in checks["limit.seen"]["detail"]
    assert checks["journey.tier"]["detail"] == "free, by the caller token of MAAS_CALLER_TOKEN"


async def test_the_caller_token_comes_from_a_file_or_from_the_kubeconfig(
    platform: Up, newcomer: Newcomer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{newcomer.token}\n")

    _, checks = await checks_of(*through(platform), "--only=journey", f"--token-file={file}")
    assert checks["journey.tier"]["detail"] == f"free, by the caller token of {file}"
    assert checks["journey.revoked"]["status"] == "pass"

    _, checks = await checks_of(*through(platform), "--only=journey", PATH="/nowhere")
    assert checks["journey.tier"]["detail"] == "free, by the caller token of the kubeconfig"


async def test_a_token_that_the_cluster_does_not_know_fails_with_what_to_do(platform: Up) -> None:
    code, checks = await checks_of(*through(platform), "--only=journey", MAAS_CALLER_TOKEN="sha256~nobody")

    assert code == 1
    assert checks["journey.tier"]["status"] == "fail"
    assert "401 invalid_token" in checks["journey.tier"]["detail"]
    assert "--token-file" in checks["journey.tier"]["fix"]
    assert checks["journey.revoked"]["detail"] == "needs journey.tier, which failed"


async def test_a_certificate_that_is_not_trusted_says_which_option_helps(platform: Up) -> None:
    code, output, _ = await verify("--only=journey", f"--gateway={platform.url}", MAAS_CALLER_TOKEN="t")

    assert code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in output
    assert "fix: name the CA with --cacert FILE" in output


async def test_interrupting_it_leaves_no_token_behind(tmp_path: Path) -> None:
    async with up(tmp_path / "state", "--first-token=60") as platform:
        admin = await admin_client(platform.kubeconfig)
        arguments = (*through(platform), "--only=journey")
        env = environment(MAAS_CALLER_TOKEN="sha256~alice")
        async with maasctl("verify", *arguments, env=env) as command:
            await command.says(r"pass +journey\.models")
            assert len(await left_behind(admin)) == 1

            assert await command.stop(signal.SIGINT) == 130

        async def gone() -> bool:
            return not await left_behind(admin)

        await eventually(gone)
        await admin.close()
    assert "Traceback" not in command.errors


async def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(tmp_path: Path) -> None:
    code, output, errors = await verify("--dry-run", PATH="/nowhere")

    assert (code, errors) == (0, "")
    for check in CHECKS:
        assert check.id in output
        assert check.how in output

    _, output, _ = await verify("--dry-run", "--output=json", "--only=limit")
    assert {"journey.issued", "limit.seen"} <= {each["id"] for each in json.loads(output)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only=nothing",), "nothing"),
        (("--cacert=pyproject.toml", "--insecure"), "contradict"),
        (("--gateway=ftp://localhost",), "https://HOST"),
        (("--token-file=/not/there",), "does not exist"),
    ],
)
async def test_wrong_usage_is_told_from_failure(arguments: tuple[str, ...], said: str) -> None:
    code, _, errors = await verify(*arguments)
    assert code == 2
    assert said in errors


async def issue(request: Request) -> Response:
    claims = {"aud": ["maas-default-gateway-sa"]}
    token = jwt.encode(claims, "a key that is long enough for it" * 2, algorithm="HS256")
    issued = {"token": token, "tier": "free", "expiresAt": "2026-01-28T00:00:00Z", "id": "alice-sa-1"}
    return JSONResponse(issued, status_code=201)


async def tier(request: Request) -> Response:
    return JSONResponse({"tier": "free", "limits": {"requestsPerMinute": 3}})


async def anybody(request: Request) -> Response:
    """What a gateway answers that asks nobody for anything, and believes what it is told."""
    if request.method == "DELETE":
        return Response(status_code=204)
    if request.url.path == "/v1/models":
        return JSONResponse({"data": [{"id": request.headers.get("x-maas-model", "open"), "ready": True}]})
    limit = "1000" if request.headers.get("x-maas-tier") == "enterprise" else "3"
    return JSONResponse({"status": "ok", "choices": [{}]}, headers={"x-ratelimit-limit": limit})


OPEN_GATEWAY = Starlette(
    routes=[
        Route("/maas-api/token", issue, methods=["POST"]),
        Route("/maas-api/tier", tier),
        Route("/{path:path}", anybody, methods=["GET", "POST", "DELETE"]),
    ]
)


async def test_a_gateway_that_enforces_nothing_fails_wherever_it_should() -> None:
    async with serve(OPEN_GATEWAY) as (host, port):
        code, checks = await checks_of(
            *("--only=journey", "--only=limit", "--spend-limit", f"--gateway=http://{host}:{port}"),
            MAAS_CALLER_TOKEN="sha256~alice",
        )

    assert code == 1
    found = {name: check["detail"] for name, check in checks.items() if check["status"] == "fail"}
    assert found["journey.anonymous"].startswith("a request without a token is answered 200")
    assert found["journey.forged"].startswith("a token with a false signature is answered 200")
    assert found["journey.caller"].startswith("a caller token is answered 200")
    assert "headers alone are answered 200" in found["journey.spoofed"]
    assert "they change the list of models" in found["journey.spoofed"]
    assert "they change the limit from 3 to 1000" in found["journey.spoofed"]
    assert found["limit.seen"] == "14 requests in a row were answered, where the tier has 3 a minute"
    assert found["journey.revoked"] == "a second after it was revoked, the token still passes"
    assert all(checks[name]["fix"] for name in found)


GOOD: dict[str, Any] = {"choices": [{}]}
CHAT, LIST, TOKEN_PATH = "/v1/chat/completions", "/v1/models", "/maas-api/token"
PROBLEM = {"code": "token_limit_reached", "detail": "You hold 50 live tokens; revoke one."}
UNLIMITED = {"tier": "free", "limits": {"requestsPerMinute": None}}
BUSY = {"error": {"code": "rate_limit_exceeded", "message": "Wait."}}


def answering(path: str, *answers: Response, method: str = "GET") -> Route:
    """The route of a gateway that gives these answers, the last one again and again."""
    left = list(answers)

    async def answer(_: Request) -> Response:
        return left.pop(0) if len(left) > 1 else left[0]

    return Route(path, answer, methods=[method])


@pytest.mark.parametrize(
    ("route", "check", "status", "said"),
    [
        (
            answering(TOKEN_PATH, JSONResponse(PROBLEM, status_code=409), method="POST"),
            *("journey.issued", "fail", "409 token_limit_reached You hold 50 live tokens; revoke one."),
        ),
        (answering(LIST, JSONResponse({"data": []})), "journey.models", "fail", "the list is empty"),
        (answering(LIST, Response("?", status_code=500)), "journey.models", "fail", "500 ?"),
        (
            answering(LIST, JSONResponse({"data": [{"id": "cold", "ready": False}]})),
            *("journey.answered", "fail", "no model is ready"),
        ),
        (
            answering(CHAT, JSONResponse({"object": "error"}, status_code=400), method="POST"),
            *("journey.answered", "pass", "open, in "),
        ),
        (
            answering(CHAT, JSONResponse({}, status_code=503), method="POST"),
            *("journey.answered", "fail", "open: 503"),
        ),
        (answering(CHAT, JSONResponse({}), method="POST"), "journey.answered", "fail", "without `choices`"),
        (
            answering(CHAT, JSONResponse(BUSY, status_code=429), method="POST"),
            *("journey.answered", "fail", "open: 429 rate_limit_exceeded Wait."),
        ),
        (
            answering(
                CHAT,
                *[JSONResponse(GOOD)] * 2,
                JSONResponse(BUSY, status_code=429),
                method="POST",
            ),
            *("limit.seen", "warn", "without Retry-After in seconds"),
        ),
        (
            answering(CHAT, *[JSONResponse(GOOD)] * 2, JSONResponse({}, status_code=502), method="POST"),
            *("limit.seen", "fail", "requests: 502"),
        ),
        (
            answering(
                "/maas-api/tier", JSONResponse({"tier": "free", "limits": {"requestsPerMinute": None}})
            ),
            *("limit.seen", "skip", "the tier free has no requestsPerMinute"),
        ),
        (
            answering("/maas-api/readyz", JSONResponse({"status": "degraded", "problems": ["from memory"]})),
            *("journey.ready", "warn", "from memory"),
        ),
        (
            answering("/maas-api/readyz", JSONResponse({"status": "unavailable", "problems": ["too old"]})),
            *("journey.ready", "fail", "too old"),
        ),
        (
            answering("/maas-api/tokens/alice-sa-1", Response(status_code=404), method="DELETE"),
            *("journey.revoked", "fail", "404"),
        ),
    ],
)
async def test_what_a_gateway_answers_decides(route: Route, check: str, status: str, said: str) -> None:
    async with serve(Starlette(routes=[route, *OPEN_GATEWAY.routes])) as (host, port):
        _, checks = await checks_of(
            *("--only=journey", "--only=limit", "--spend-limit", f"--gateway=http://{host}:{port}"),
            MAAS_CALLER_TOKEN="sha256~alice",
        )
    assert checks[check]["status"] == status
    assert said in checks[check]["detail"]
    assert bool(checks[check]["fix"]) == (status in ("fail", "warn"))


async def test_where_ten_minutes_are_too_short_the_platforms_own_lifetime_is_taken() -> None:
    wishes = []

    async def choosy(request: Request) -> Response:
        wishes.append(await request.json())
        if "expiration" in wishes[-1]:
            return JSONResponse({"code": "expiration_out_of_range"}, status_code=422)
        return await issue(request)

    token = Route(TOKEN_PATH, choosy, methods=["POST"])
    async with serve(Starlette(routes=[token, *OPEN_GATEWAY.routes])) as (host, port):
        _, checks = await checks_of(
            "--only=journey", f"--gateway=http://{host}:{port}", MAAS_CALLER_TOKEN="sha256~alice"
        )
    assert checks["journey.issued"]["status"] == "pass"
    assert wishes == [{"name": "maasctl-verify", "expiration": "10m"}, {"name": "maasctl-verify"}]


async def test_a_token_that_cannot_be_revoked_is_named() -> None:
    refused = answering("/maas-api/tokens/alice-sa-1", Response(status_code=503), method="DELETE")
    async with serve(Starlette(routes=[refused, *OPEN_GATEWAY.routes])) as (host, port):
        code, _, errors = await verify(
            "--only=journey", f"--gateway=http://{host}:{port}", MAAS_CALLER_TOKEN="sha256~alice"
        )
    assert code == 1
    assert "the token alice-sa-1 could not be revoked; it ends by itself" in errors


async def test_without_a_caller_token_it_says_where_it_looked(tmp_path: Path) -> None:
    empty = tmp_path / "kubeconfig"
    empty.write_text("{apiVersion: v1, kind: Config}")
    async with serve(OPEN_GATEWAY) as (host, port):
        _, checks = await checks_of(
            "--only=journey", f"--gateway=http://{host}:{port}", f"--kubeconfig={empty}"
        )
    assert checks["journey.tier"]["detail"].startswith("there is no caller token")
    assert "--token-file" in checks["journey.tier"]["fix"]


async def test_certificates_that_cannot_be_read_are_told_from_a_gateway_that_is_away(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate")
    _, checks = await checks_of("--only=journey", "--gateway=https://127.0.0.1:1", f"--cacert={nonsense}")
    assert f"{nonsense} cannot be used" in checks["journey.address"]["detail"]

    _, checks = await checks_of("--only=journey", "--gateway=https://127.0.0.1:1", "--insecure")
    assert "no answer from https://127.0.0.1:1/" in checks["journey.address"]["detail"]


async def misled(request: Request) -> Response:
    """What a gateway answers that lets clients choose where a request goes."""
    if "x-maas-model" in request.headers:
        return JSONResponse({"error": {"code": "model_not_found", "message": "?"}}, status_code=404)
    return JSONResponse({"choices": [{}]})


async def test_a_gateway_that_lets_headers_choose_the_model_fails() -> None:
    chat = Route("/v1/chat/completions", misled, methods=["POST"])
    async with serve(Starlette(routes=[chat, *OPEN_GATEWAY.routes])) as (host, port):
        _, checks = await checks_of(
            "--only=journey", f"--gateway=http://{host}:{port}", MAAS_CALLER_TOKEN="sha256~alice"
        )
    assert "they choose the model" in checks["journey.spoofed"]["detail"]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"status": "success", "data": {"result": [{"value": [0, "2"]}]}}, "pass", "metrics arrive: 2"),
        ({"status": "success", "data": {"result": []}}, "fail", "no series maas_mapping_valid"),
        ({"status": "error", "error": "parse error"}, "fail", "answers 200"),
    ],
)
async def test_prometheus_is_asked_whether_metrics_arrive(
    platform: Up, newcomer: Newcomer, answer: dict[str, Any], status: str, said: str
) -> None:
    asked = []

    async def query(request: Request) -> Response:
        asked.append((request.query_params["query"], request.headers.get("authorization")))
        return JSONResponse(answer)

    async with serve(Starlette(routes=[Route("/api/v1/query", query)])) as (host, port):
        _, checks = await checks_of(
            *(*through(platform), "--only=metrics", f"--prometheus=http://{host}:{port}/"),
            MAAS_CALLER_TOKEN=newcomer.token,
        )
    assert checks["metrics.prometheus"]["status"] == status
    assert said in checks["metrics.prometheus"]["detail"]
    # Over plain HTTP anybody could read the token.
    assert asked == [("count(maas_mapping_valid)", None)]


async def test_something_else_at_the_address_is_no_gateway() -> None:
    async with serve(Starlette()) as (host, port):
        code, checks = await checks_of("--only=journey", f"--gateway=http://{host}:{port}")
    assert code == 1
    assert f"http://{host}:{port} answers 404" in checks["journey.address"]["detail"]
