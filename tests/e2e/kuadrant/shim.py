"""Kuadrant's action sets as filters of Envoy.

On a gateway they are carried out by Kuadrant's wasm shim, which is published as an image only. Here Envoy's
own `ext_authz` asks Authorino and its own `ratelimit` asks Limitador, with what the operator wrote for the
shim and nothing else: which requests an action set is for, the AuthConfig, the conditions and the data of
each limit, the labels of metrics, timeouts, and what happens when a service does not answer.

Not carried out: the actions of TokenRateLimitPolicies, which count the tokens of an answer by a protocol of
Kuadrant's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Json = dict[str, Any]
_TYPE = "type.googleapis.com/"
_FILTERS = f"{_TYPE}envoy.extensions.filters.http"
_SHIM = "kuadrant"
_LABEL = "metrics.labels."
_AUTHORIZED = "envoy.filters.http.ext_authz"
_NOT_CARRIED_OUT = {"ratelimit-check", "ratelimit-report"}
# The predicates that the operator makes of the matches of HTTPRoutes.
_PREDICATES: Mapping[re.Pattern[str], Callable[..., Json]] = {
    re.compile(r"request\.url_path\.startsWith\('([^']*)'\)"): lambda path: _header(":path", prefix=path),
    re.compile(r"request\.method == '(\w+)'"): lambda method: _header(":method", exact=method),
    re.compile(
        r"request\.headers\.exists\(h, h\.lowerAscii\(\) == '([^']*)' && request\.headers\[h\] == '([^']*)'\)"
    ): lambda name, value: _header(name, exact=value),
}


def http_filters(configuration: Mapping[str, Any]) -> list[Json]:
    """The filters for the shim's configuration.

    The first notes which action set a request is for, before anything changes the request; the others act.
    """
    action_sets = configuration["actionSets"]
    filters = [_selection(action_sets)]
    labels = {
        name.removeprefix(_LABEL): value
        for name, value in configuration.get("requestData", {}).items()
        if name.startswith(_LABEL)
    }
    for action_set in action_sets:
        for number, action in enumerate(action_set["actions"]):
            service = configuration["services"][action["service"]]
            if service["type"] in _NOT_CARRIED_OUT:
                continue
            if service["type"] == "auth":
                assert not action.get("predicates")
                made = _ext_authz(service, action_set["name"])
            else:
                made = _ratelimit(service, action, action_set["name"], labels)
            filters.append({"name": _name(action_set, number), "typed_config": made})
    return filters


def per_filter_config(configuration: Mapping[str, Any]) -> Json:
    """What each `ext_authz` filter tells Authorino: by which name it finds the AuthConfig."""
    return {
        _name(action_set, number): {
            "@type": f"{_FILTERS}.ext_authz.v3.ExtAuthzPerRoute",
            "check_settings": {"context_extensions": {"host": action["scope"]}},
        }
        for action_set in configuration["actionSets"]
        for number, action in enumerate(action_set["actions"])
        if configuration["services"][action["service"]]["type"] == "auth"
    }


def _name(action_set: Mapping[str, Any], number: int) -> str:
    return f"{action_set['name']}.{number}"


def _selection(action_sets: Iterable[Mapping[str, Any]]) -> Json:
    """A filter that writes the name of the first action set for a request into its metadata."""
    return {
        "name": "action-set",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {
                "name": "composite",
                "typed_config": {"@type": f"{_FILTERS}.composite.v3.Composite"},
            },
            "xds_matcher": {
                "matcher_list": {
                    "matchers": [
                        {
                            "predicate": _requests(action_set["routeRuleConditions"]),
                            "on_match": {"action": _note(action_set["name"])},
                        }
                        for action_set in action_sets
                    ]
                }
            },
        },
    }


def _note(action_set: str) -> Json:
    return {
        "name": "note",
        "typed_config": {
            "@type": f"{_FILTERS}.composite.v3.ExecuteFilterAction",
            "typed_config": {
                "name": "set-metadata",
                "typed_config": {
                    "@type": f"{_FILTERS}.set_metadata.v3.Config",
                    "metadata": [{"metadata_namespace": _SHIM, "value": {"action_set": action_set}}],
                },
            },
        },
    }


def _ext_authz(service: Mapping[str, Any], action_set: str) -> Json:
    return {
        "@type": f"{_FILTERS}.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": _grpc(service),
        "failure_mode_allow": service["failureMode"] == "allow",
        "status_on_error": {"code": "InternalServerError"},
        "filter_enabled_metadata": {
            "filter": _SHIM,
            "path": [{"key": "action_set"}],
            "value": {"string_match": {"exact": action_set}},
        },
    }


def _ratelimit(
    service: Mapping[str, Any], action: Mapping[str, Any], action_set: str, labels: Mapping[str, str]
) -> Json:
    limits = [
        _descriptor(conditional["data"], [_all(conditional.get("predicates", ()))], action_set)
        for conditional in action["conditionalData"]
    ]
    data = [{"expression": {"key": name, "value": value}} for name, value in labels.items()]
    any_limit = [_all(conditional.get("predicates", ())) for conditional in action["conditionalData"]]
    return {
        "@type": f"{_FILTERS}.ratelimit.v3.RateLimit",
        "domain": action["scope"],
        "timeout": service["timeout"],
        "failure_mode_deny": service["failureMode"] == "deny",
        "rate_limit_service": {"transport_api_version": "V3", "grpc_service": _grpc(service)},
        # Labels come second, as the operator tells Limitador (`metricLabelsDefault`).
        "rate_limits": [*limits, *([_descriptor(data, any_limit, action_set)] if data else [])],
    }


def _all(predicates: Iterable[str]) -> str:
    return " && ".join(f"({predicate})" for predicate in predicates) or "true"


def _descriptor(
    data_items: Iterable[Mapping[str, Any]], alternatives: Iterable[str], action_set: str
) -> Json:
    """One descriptor with all the data, if an alternative holds; else Envoy leaves the whole of it out.

    The shim puts the data of every limit that applies into one descriptor; here each limit makes its own.
    That is the same as long as one limit applies to a request: Limitador counts by the first descriptor only.
    """
    selected = f"metadata.filter_metadata['{_SHIM}'].action_set == '{action_set}'"
    condition = f"({selected}) && ({' || '.join(f'({alternative})' for alternative in alternatives)})"
    actions = []
    for item in data_items:
        ((kind, data),) = item.items()
        value = data["value"] if kind == "expression" else repr(data["value"])
        # Out of range, so an error, so no descriptor, where the condition does not hold.
        text = f"[{value}][({condition}) ? 0 : 1]"
        actions.append(
            {
                "extension": {
                    "name": "envoy.rate_limit_descriptors.expr",
                    "typed_config": {
                        "@type": f"{_TYPE}envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor",
                        "descriptor_key": data["key"],
                        "text": _with_metadata(text),
                    },
                }
            }
        )
    return {"actions": actions}


def _with_metadata(expression: str) -> str:
    """`auth` of the shim is what Authorino answered, which is where Envoy's filter put it."""
    return re.sub(r"\bauth\.", f"metadata.filter_metadata['{_AUTHORIZED}'].", expression)


def _grpc(service: Mapping[str, Any]) -> Json:
    return {"envoy_grpc": {"cluster_name": service["endpoint"]}, "timeout": service["timeout"]}


def _requests(conditions: Mapping[str, Any]) -> Json:
    assert conditions["hostnames"] == ["*"]
    predicates = [_predicate(text) for text in conditions["predicates"]]
    return predicates[0] if len(predicates) == 1 else {"and_matcher": {"predicate": predicates}}


def _predicate(text: str) -> Json:
    for pattern, make in _PREDICATES.items():
        if found := pattern.fullmatch(text):
            return make(*found.groups())
    raise AssertionError(f"the operator makes predicates that are not known here: {text}")


def _header(name: str, **match: str) -> Json:
    return {
        "single_predicate": {
            "input": {
                "name": name,
                "typed_config": {
                    "@type": f"{_TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                    "header_name": name,
                },
            },
            "value_match": match,
        }
    }
