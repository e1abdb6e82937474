from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest

from app.embedded.kubernetes import Cluster, User
from app.embedded.kubernetes.tokens import generate_key
from tests.unit.embedded.kubernetes.api import MAAS, SERVICE_ACCOUNTS, failure, service_account
from tests.unit.embedded.kubernetes.conftest import ISSUER, START

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from tests.unit.embedded.kubernetes.api import API
    from tests.unit.embedded.kubernetes.conftest import Clock

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def request(api: API, name: str = "one", **spec: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await api.create(f"{SERVICE_ACCOUNTS}/{name}/token", {"spec": spec})
    return answer


async def issue(api: API, name: str = "one", **spec: Any) -> str:
    token: str = (await request(api, name, **spec))["status"]["token"]
    return token


async def review(api: API, token: str, *audiences: str) -> dict[str, Any]:
    answer = await api.create(REVIEWS, {"spec": {"token": token, "audiences": list(audiences)}})
    status: dict[str, Any] = answer["status"]
    return status


@pytest.fixture
async def account(api: API) -> dict[str, Any]:
    created: dict[str, Any] = await api.create(SERVICE_ACCOUNTS, service_account())
    return created


async def test_a_token_has_the_claims_of_a_real_one(api: API, account: dict[str, Any]) -> None:
    answer = await request(api, audiences=["maas", "more"], expirationSeconds=14400)
    token = answer["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "aud": ["maas", "more"],
        "sub": "system:serviceaccount:maas:one",
        "iat": int(START),
        "nbf": int(START),
        "exp": int(START) + 14400,
        "kubernetes.io": {
            "namespace": "maas",
            "serviceaccount": {"name": "one", "uid": account["metadata"]["uid"]},
        },
    }
    assert answer["kind"] == "TokenRequest"
    assert answer["metadata"]["name"] == "one"
    assert answer["spec"] == {
        "audiences": ["maas", "more"],
        "expirationSeconds": 14400,
        "boundObjectRef": None,
    }
    assert answer["status"]["expirationTimestamp"] == "2023-11-15T02:13:20Z"


async def test_a_token_is_verified_with_the_published_key(api: API, account: dict[str, Any]) -> None:
    token = await issue(api, audiences=["maas"])
    keys = await api.get("/openid/v1/jwks")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    key = jwt.PyJWKSet.from_dict(keys.json())[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False}
    assert jwt.decode(token, key, audience="maas", issuer=ISSUER, options=options)["sub"].endswith(":one")
    discovery = (await api.get("/.well-known/openid-configuration")).json()
    assert discovery["issuer"] == ISSUER
    assert discovery["jwks_uri"] == "https://cluster.test/openid/v1/jwks"


async def test_a_token_lives_for_an_hour_unless_asked_otherwise(api: API, account: dict[str, Any]) -> None:
    answer = await request(api)
    assert answer["spec"]["expirationSeconds"] == 3600
    assert answer["spec"]["audiences"] == [ISSUER]


@pytest.mark.parametrize(
    ("seconds", "problem"),
    [
        (60, "may not specify a duration less than 10 minutes"),
        (2**32 + 1, "may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_a_lifetime_has_its_limits(
    api: API, account: dict[str, Any], seconds: int, problem: str
) -> None:
    answer = await api.post(f"{SERVICE_ACCOUNTS}/one/token", {"spec": {"expirationSeconds": seconds}})
    message = (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: '
        f"{seconds}: {problem}"
    )
    assert failure(answer) == (422, "Invalid", message)


async def test_a_server_may_shorten_a_lifetime_and_only_warns(
    api: API, cluster: Cluster, account: dict[str, Any]
) -> None:
    cluster.max_token_seconds = 7200
    answer = await api.post(f"{SERVICE_ACCOUNTS}/one/token", {"spec": {"expirationSeconds": 14400}})
    assert answer.status_code == 201
    assert answer.json()["spec"]["expirationSeconds"] == 7200
    assert answer.json()["status"]["expirationTimestamp"] == "2023-11-15T00:13:20Z"
    text = "requested expiration of 14400 seconds shortened to 7200 seconds"
    assert answer.headers["warning"] == f'299 - "{text}"'
    unwarned = await api.post(f"{SERVICE_ACCOUNTS}/one/token", {"spec": {"expirationSeconds": 7200}})
    assert "warning" not in unwarned.headers


async def test_a_token_is_for_the_service_account_that_was_meant(api: API, account: dict[str, Any]) -> None:
    path = f"{SERVICE_ACCOUNTS}/one/token"
    assert failure(await api.post(f"{SERVICE_ACCOUNTS}/none/token", {}))[:2] == (404, "NotFound")
    assert failure(await api.post(path, {"metadata": {"name": "two"}}))[:2] == (422, "Invalid")
    assert failure(await api.post(path, {"metadata": {"namespace": "other"}}))[:2] == (422, "Invalid")
    assert failure(await api.post(path, {"metadata": {"uid": "another"}}))[:2] == (409, "Conflict")
    right = {"metadata": {"name": "one", "namespace": "maas", "uid": account["metadata"]["uid"]}}
    assert (await api.post(path, right)).status_code == 201


async def test_a_token_request_without_a_body_gets_the_defaults(api: API, account: dict[str, Any]) -> None:
    assert (await api.call("POST", f"{SERVICE_ACCOUNTS}/one/token")).status_code == 201


async def test_tokens_are_not_bound_to_objects(api: API, account: dict[str, Any]) -> None:
    for ref, code in (
        ({"kind": "Pod", "apiVersion": "v1", "name": "p"}, 400),
        ({"kind": "Secret", "apiVersion": "v1", "name": "none"}, 404),
    ):
        answer = await api.post(f"{SERVICE_ACCOUNTS}/one/token", {"spec": {"boundObjectRef": ref}})
        assert answer.status_code == code


async def test_token_requests_of_the_wrong_types_are_refused(api: API, account: dict[str, Any]) -> None:
    for spec in ({"expirationSeconds": "600"}, {"expirationSeconds": True}, {"audiences": "maas"}):
        answer = await api.post(f"{SERVICE_ACCOUNTS}/one/token", {"spec": spec})
        assert failure(answer)[:2] == (400, "BadRequest")


async def test_a_token_for_the_api_server_opens_it(api: API, account: dict[str, Any]) -> None:
    mine = api.acting(await issue(api))
    answer = await mine.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:maas:one"


async def test_a_token_for_others_does_not_open_the_api_server(api: API, account: dict[str, Any]) -> None:
    mine = api.acting(await issue(api, audiences=["maas"]))
    assert failure(await mine.get(MAAS)) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize("header", ["Bearer nobody", "Bearer a.b.c", "Bearer ", "Basic YTpi", "admin"])
async def test_credentials_of_nobody_are_refused(anonymous: API, header: str) -> None:
    answer = await anonymous.call("GET", MAAS, headers={"authorization": header})
    assert failure(answer) == (401, "Unauthorized", "Unauthorized")


async def test_a_review_of_a_users_token_says_who_they_are(api: API) -> None:
    assert await review(api, "alice") == {
        "authenticated": True,
        "user": {
            "username": "alice@example.com",
            "uid": "u-1",
            "groups": ["premium-users", "system:authenticated"],
            "extra": {"scopes": ["user:full"]},
        },
        "audiences": [ISSUER],
    }
    assert (await review(api, "alice", ISSUER, "x"))["audiences"] == [ISSUER]


async def test_a_review_of_a_users_token_for_others_fails(api: API) -> None:
    assert await review(api, "alice", "maas") == {"user": {}, "error": "invalid bearer token"}


async def test_a_review_of_a_service_account_token_says_whose_it_is(
    api: API, account: dict[str, Any]
) -> None:
    token = await issue(api, audiences=["maas", "more"])
    status = await review(api, token, "maas", "else")
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert status == {
        "authenticated": True,
        "user": {
            "username": "system:serviceaccount:maas:one",
            "uid": account["metadata"]["uid"],
            "groups": ["system:serviceaccounts", "system:serviceaccounts:maas", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={jti}"]},
        },
        "audiences": ["maas"],
    }


async def test_a_review_of_a_token_for_others_fails(api: API, account: dict[str, Any]) -> None:
    token = await issue(api, audiences=["maas"])
    for audiences in ((), ("else",)):
        status = await review(api, token, *audiences)
        assert "authenticated" not in status
        assert 'token audiences ["maas"] is invalid for the target audiences' in status["error"]


async def test_a_deleted_service_account_takes_its_tokens_along_even_if_it_comes_back(
    api: API, account: dict[str, Any]
) -> None:
    token = await issue(api)
    assert (await review(api, token))["authenticated"]
    await api.delete(f"{SERVICE_ACCOUNTS}/one")
    error = "[invalid bearer token, service account token has been invalidated]"
    assert (await review(api, token))["error"] == error
    await api.create(SERVICE_ACCOUNTS, service_account())
    assert (await review(api, token))["error"] == error
    assert (await api.acting(token).get("/api")).status_code == 401


async def test_a_token_expires_with_a_minute_of_leeway(
    api: API, clock: Clock, account: dict[str, Any]
) -> None:
    token = await issue(api, expirationSeconds=600)
    clock.now += 655
    assert (await review(api, token))["authenticated"]
    clock.now += 10
    assert "has expired" in (await review(api, token))["error"]


async def test_a_token_is_not_valid_before_its_time(api: API, clock: Clock, account: dict[str, Any]) -> None:
    token = await issue(api)
    clock.now -= 120
    assert "is not valid yet" in (await review(api, token))["error"]


async def test_a_token_of_another_key_or_issuer_is_refused(
    api: API, signing_key: RSAPrivateKey, account: dict[str, Any]
) -> None:
    token = await issue(api)
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    forged = [
        jwt.encode(claims, generate_key(), algorithm="RS256", headers={"kid": kid}),
        jwt.encode(claims, generate_key(), algorithm="RS256", headers={"kid": "another"}),
        jwt.encode({**claims, "iss": "https://elsewhere"}, signing_key, algorithm="RS256"),
        jwt.encode(claims, "", algorithm="none"),
    ]
    for text in forged:
        assert (await review(api, text))["error"] == "invalid bearer token"
    single = jwt.encode({**claims, "aud": ISSUER}, signing_key, algorithm="RS256")
    assert (await review(api, single))["authenticated"]


async def test_a_review_needs_a_token(api: API) -> None:
    message = "token is required for TokenReview in authentication"
    assert failure(await api.post(REVIEWS, {"spec": {}})) == (400, "BadRequest", message)
    assert (await api.post(REVIEWS, {"spec": {"token": 7}})).status_code == 400
    assert (await api.post(REVIEWS, {"spec": {"token": "x", "audiences": "y"}})).status_code == 400


async def test_users_come_and_go(api: API, cluster: Cluster) -> None:
    cluster.add_user("bob", User("bob", ("system:authenticated",)))
    assert (await review(api, "bob"))["user"] == {"username": "bob", "groups": ["system:authenticated"]}
    cluster.remove_user("bob")
    cluster.remove_user("bob")
    assert "error" in await review(api, "bob")


async def test_the_api_server_may_have_an_audience_of_its_own(signing_key: RSAPrivateKey) -> None:
    cluster = Cluster(issuer="i", users={"a": User("a", ())}, api_audience="api", signing_key=signing_key)
    assert cluster.authenticator.authenticate("a").audiences == ("api",)
