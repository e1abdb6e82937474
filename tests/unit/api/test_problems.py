"""Every error has one answer, and none gives away more than it should."""

from __future__ import annotations

import pytest

from app.api.problems import (
    ModelForbiddenError,
    Problem,
    openai_error,
    problem_for,
)
from app.identity.errors import InvalidTokenError
from app.kube.errors import (
    KubeConflictError,
    KubeError,
    KubeForbiddenError,
    KubeInvalidError,
    KubeUnauthorizedError,
    KubeUnavailableError,
)
from app.tiers.source import NoMappingError
from app.tokens.errors import RevocationIncompleteError
from app.usage.errors import UsageAnswerError, UsageUnavailableError

SECRET = "https://10.0.0.1:6443 said something internal"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (KubeUnavailableError(SECRET), 503, "upstream_unavailable"),
        (KubeForbiddenError(SECRET, status=403), 503, "upstream_unavailable"),
        (KubeUnauthorizedError(SECRET, status=401), 503, "upstream_unavailable"),
        (KubeInvalidError(SECRET, status=422), 502, "upstream_error"),
        (KubeConflictError(SECRET, status=409), 502, "upstream_error"),
        (KubeError(SECRET), 502, "upstream_error"),
        (NoMappingError(SECRET), 503, "mapping_unavailable"),
        (UsageUnavailableError(SECRET), 503, "usage_unavailable"),
        (RuntimeError(SECRET), 500, "internal_error"),
    ],
)
def test_what_went_wrong_inside_is_for_the_log_only(error: Exception, status: int, code: str) -> None:
    problem = problem_for(error)
    assert (problem.status, problem.code) == (status, code)
    assert "internal" not in problem.detail
    assert "10.0.0.1" not in str(problem)
    assert ("Retry-After" in problem.headers) == (status == 503)


def test_a_prometheus_that_refuses_is_for_the_log_only_and_worth_another_try() -> None:
    problem = problem_for(UsageAnswerError(SECRET))
    assert (problem.status, problem.code) == (502, "usage_unavailable")
    assert "internal" not in str(problem)
    assert problem.headers["Retry-After"] == "5"


@pytest.mark.parametrize(("asked", "told"), [(None, "5"), (1, "5"), (30, "30")])
def test_the_wait_that_the_api_server_asks_for_is_passed_on(asked: float | None, told: str) -> None:
    problem = problem_for(KubeUnavailableError("busy", status=429, retry_after=asked))
    assert problem.headers["Retry-After"] == told


def test_a_bulk_revocation_that_was_interrupted_says_how_far_it_came() -> None:
    problem = problem_for(RevocationIncompleteError(3, 4))
    assert problem.status == 503
    assert problem.extra == {"revoked": 3, "remaining": 4}


def test_errors_of_models_have_the_shape_that_openai_clients_read() -> None:
    body = openai_error(problem_for(ModelForbiddenError("granite-7b", "free")))
    assert body["error"] == {
        "message": "The model 'granite-7b' is not available to you in tier 'free'; "
        "GET /v1/models lists those you may use.",
        "type": "permission_error",
        "param": "model",
        "code": "model_forbidden",
    }
    assert openai_error(problem_for(InvalidTokenError("no")))["error"]["code"] == "invalid_api_key"
    assert openai_error(Problem(500, "internal_error", ""))["error"]["type"] == "api_error"
    assert openai_error(Problem(413, "body_too_large", ""))["error"]["type"] == "invalid_request_error"
