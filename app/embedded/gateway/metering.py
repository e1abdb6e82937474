"""What is counted per user, tier and model: Envoy's counters of inference, kept by its stats access logger.

Labels are what the authorizer said of a request, in headers that nobody else can set. A request that it
refused has empty ones. Prometheus gives the series their names: see `app.embedded.prometheus`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.embedded.gateway.usage import COMPLETION, PROMPT, USAGE

# With it, and less Envoy's own `envoy_`, a counter is `maas_gateway_requests_total`.
_PREFIX = "maas_gateway"
# What no model says in earnest. Envoy's counters cannot go down and would wrap around.
_MOST_TOKENS = 10**9
_LARGEST = 10**18


@dataclass(frozen=True)
class MeteringSettings:
    """How finely requests are counted.

    Attributes:
        user_label: Whether series have the label `user`. Without it there are as many series as tiers,
            models and statuses need; with it every person adds some.
        max_series: How many counters there may be. Further ones are not made, and those there are go on.
    """

    user_label: bool = True
    max_series: int = 100_000


def metering(settings: MeteringSettings) -> list[dict[str, Any]]:
    """Return the AccessLogs that count the requests of models and the LLM tokens of their answers."""
    tags = _TIER_AND_MODEL
    if settings.user_label:
        tags = [_tag("user", "%REQ(X-MAAS-USER)%"), *tags]
    scope = {"prefix": _PREFIX, "sharing_name": _PREFIX, "max_counters": settings.max_series}
    unmetered = [_count("unmetered_total", tags)]
    return [
        _logger(scope, _INFERENCE, counters=[_count("requests_total", [*tags, _CODE])]),
        _logger(scope, _ANSWERED, histograms=_HISTOGRAMS),
        *(
            _logger(scope, _all(_ALLOWED, _said(key)), counters=[_tokens(key, tags)])
            for key in (PROMPT, COMPLETION)
        ),
        _logger(scope, _all(_ANSWERED, _NOT_SAID), counters=unmetered),
    ]


def _logger(scope: dict[str, Any], which: dict[str, Any], **stats: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "envoy.access_loggers.stats",
        "filter": which,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": scope,
            **stats,
        },
    }


def _tag(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value_format": value}


_TIER_AND_MODEL = [_tag("tier", "%REQ(X-MAAS-TIER)%"), _tag("model", "%REQ(X-MAAS-MODEL)%")]
_CODE = _tag("code", "%RESPONSE_CODE%")


def _count(name: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"stat": {"name": name, "tags": tags}, "value_fixed": 1}


def _tokens(key: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "stat": {"name": "tokens_total", "tags": [*tags, _tag("type", key)]},
        "value_format": f"%DYNAMIC_METADATA({USAGE}:{key})%",
    }


def _milliseconds(name: str, value: str) -> dict[str, Any]:
    return {
        "stat": {"name": f"{name}_milliseconds", "tags": _TIER_AND_MODEL},
        "unit": "Milliseconds",
        "value_format": value,
    }


# The head of a stream comes before its first token, so the first byte is that of the body.
_HISTOGRAMS = [
    _milliseconds("request", "%DURATION%"),
    _milliseconds("first_byte", "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%"),
]


def _all(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}


# What the authorizer let pass to a model has this header, and nothing else has. What it refused has the path
# that was asked for; a path that a route has rewritten is another one by now.
_ALLOWED = _header("x-maas-model", present_match=True)
_INFERENCE = {
    "or_filter": {
        "filters": [
            _ALLOWED,
            _all(
                _header(":path", string_match={"prefix": "/v1/"}),
                _header(
                    ":path", string_match={"safe_regex": {"regex": "/v1/models([/?].*)?"}}, invert_match=True
                ),
            ),
        ]
    }
}
_ANSWERED = _all(
    _ALLOWED,
    {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": 200, "runtime_key": "maas.answered"}}
        }
    },
)


def _between(start: int, end: int) -> dict[str, Any]:
    return {"double_match": {"range": {"start": start, "end": end}}}


def _usage(key: str, value: dict[str, Any], *, if_missing: bool) -> dict[str, Any]:
    return {
        "metadata_filter": {
            "matcher": {"filter": USAGE, "path": [{"key": key}], "value": value},
            "match_if_key_not_found": if_missing,
        }
    }


def _said(key: str) -> dict[str, Any]:
    return _usage(key, _between(0, _MOST_TOKENS), if_missing=False)


_NOT_SAID = _usage(
    PROMPT,
    {"or_match": {"value_matchers": [_between(-_LARGEST, 0), _between(_MOST_TOKENS, _LARGEST)]}},
    if_missing=True,
)
