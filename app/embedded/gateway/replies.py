"""What the gateway itself answers when it refuses a request or cannot pass it on.

Under `/v1` these answers have the shape of the OpenAI API's errors, under `/maas-api` that of
RFC 9457. An answer of the authorizer is never touched: Envoy calls it `ext_authz_denied`.
"""

from __future__ import annotations

from typing import Any

_V1 = "(request.url_path == '/v1' || request.url_path.startsWith('/v1/'))"
_MAAS_API = "(request.url_path == '/maas-api' || request.url_path.startsWith('/maas-api/'))"
_FAILED = "response.code >= 400"
_OWN = "response.code_details != 'ext_authz_denied'"
_IDS = {"requestId": "%REQ(X-REQUEST-ID)%"}  # Envoy does not know the id of the trace here.

# The filter reports, rounded up, the seconds until there is a token again. It does so only after the
# mappers below have run, which therefore cannot name them.
RETRY_AFTER_LUA = """
function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(":status") ~= "429" or headers:get("retry-after") ~= nil then return end
  local reset = headers:get("x-ratelimit-reset")
  local seconds = reset and tonumber(reset)
  if seconds then headers:add("retry-after", string.format("%d", math.max(seconds, 1))) end
end
"""


def local_replies(max_request_bytes: int) -> dict[str, Any]:
    """Return Envoy's LocalReplyConfig; the first mapper that fits an answer writes its body.

    Args:
        max_request_bytes: The largest body of an inference request, for the message.
    """
    return {
        "mappers": [
            _openai(
                f"{_V1} && response.code_details == 'local_rate_limited'",
                "You have used all requests that your tier allows for now. Wait for the number of seconds in "
                "the Retry-After header, then send the request again.",
                kind="rate_limit_error",
                code="rate_limit_exceeded",
            ),
            _openai(
                f"{_V1} && {_OWN} && response.code == 413",
                f"The request is larger than the {max_request_bytes} bytes that are accepted. Send less.",
                kind="invalid_request_error",
                code="request_too_large",
            ),
            _openai(
                f"{_V1} && response.code_details == 'ext_authz_error'",
                "Your token cannot be checked right now. Send the request again in a moment.",
                kind="server_error",
                code="service_unavailable",
            ),
            _openai(
                f"{_V1} && {_OWN} && (response.code == 502 || response.code == 503)",
                "The model cannot be reached right now. Send the request again in a moment.",
                kind="server_error",
                code="service_unavailable",
            ),
            _openai(
                f"{_V1} && {_OWN} && (response.code == 408 || response.code == 504)",
                "The answer took too long. Send the request again; a stream shows the answer while it grows.",
                kind="server_error",
                code="timeout",
            ),
            _openai(
                f"{_V1} && {_OWN} && {_FAILED}",
                "The gateway could not pass this request on. Check its path, its headers and its body.",
                kind="invalid_request_error",
                code="bad_request",
            ),
            _problem(
                f"{_MAAS_API} && response.code >= 502 && response.code <= 504",
                "The service cannot be reached right now. Send the request again in a moment.",
            ),
            _openai(
                "response.code == 404 && response.code_details == 'direct_response'",
                "There is nothing at this path. Tokens are under /maas-api, models under /v1.",
                kind="invalid_request_error",
                code="not_found",
            ),
        ]
    }


def _openai(condition: str, message: str, *, kind: str, code: str) -> dict[str, Any]:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return _mapper(condition, {"error": error, **_IDS}, "application/json")


def _problem(condition: str, detail: str) -> dict[str, Any]:
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": "%RESPONSE_CODE%",
        "detail": detail,
        "code": "upstream_unavailable",
        **_IDS,
    }
    mapper = _mapper(condition, problem, "application/problem+json")
    mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": "1"}}]
    return mapper


def _mapper(condition: str, body: dict[str, Any], content_type: str) -> dict[str, Any]:
    return {
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters"
                    ".cel.v3.ExpressionFilter",
                    "expression": condition,
                },
            }
        },
        "body_format_override": {"json_format": body, "content_type": content_type},
    }
