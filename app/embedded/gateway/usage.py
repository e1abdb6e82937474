"""How many LLM tokens an answer took: Envoy reads the `usage` that the model writes into it.

Two filters put it into the request's dynamic metadata, where the counters find it: one reads the events
of a stream as they pass, the other one the whole of a JSON answer. Of several `usage` in a stream the last
counts, so that of a stream that is cut what the model had said until then is counted.
"""

from __future__ import annotations

from typing import Any

USAGE = "maas.usage"
PROMPT = "prompt"
COMPLETION = "completion"
JSON_FILTER = "maas.usage.json"
STREAM_FILTER = "maas.usage.stream"

_TYPE = "type.googleapis.com/envoy.extensions"
_LONGEST_EVENT = 1024 * 1024

# Chat, completions and embeddings say it as the first two do, the Responses API as the next two; its
# streams carry the whole response in their last event.
_PATHS = {
    ("usage", "prompt_tokens"): PROMPT,
    ("usage", "completion_tokens"): COMPLETION,
    ("usage", "input_tokens"): PROMPT,
    ("usage", "output_tokens"): COMPLETION,
}
_STREAM_PATHS = _PATHS | {
    ("response", "usage", "input_tokens"): PROMPT,
    ("response", "usage", "output_tokens"): COMPLETION,
}


def usage_filters(max_bytes: int) -> list[dict[str, Any]]:
    """Return the HTTP filters that read the usage, to stand next to the router.

    Args:
        max_bytes: How much of one message Envoy holds. It would answer 500 in place of a JSON answer
            that is larger, so only answers that say that they are smaller are read.
    """
    return [_json(max_bytes), _stream()]


def _json(max_bytes: int) -> dict[str, Any]:
    return {
        "name": JSON_FILTER,
        "typed_config": {
            "@type": f"{_TYPE}.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {
                "name": "envoy.filters.http.json_to_metadata",
                "typed_config": {
                    "@type": f"{_TYPE}.filters.http.json_to_metadata.v3.JsonToMetadata",
                    "response_rules": {
                        "rules": [_rule(path, key) for path, key in _PATHS.items()],
                        "allow_content_types_regex": {"regex": r"application/json\s*(;.*)?"},
                    },
                },
            },
            "xds_matcher": _unless_content_length(f"[0-9]{{0,{len(str(max_bytes)) - 1}}}"),
        },
    }


def _unless_content_length(regex: str) -> dict[str, Any]:
    """Return the matcher that passes the filter by when the length is not said or does not fit."""
    fits = {
        "input": {
            "name": "content-length",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseHeaderMatchInput",
                "header_name": "content-length",
            },
        },
        "value_match": {"safe_regex": {"google_re2": {}, "regex": regex}},
    }
    skip = {
        "name": "skip",
        "typed_config": {"@type": f"{_TYPE}.filters.common.matcher.action.v3.SkipFilter"},
    }
    predicate = {"not_matcher": {"single_predicate": fits}}
    return {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": {"action": skip}}]}}


def _stream() -> dict[str, Any]:
    return {
        "name": STREAM_FILTER,
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.sse_to_metadata.v3.SseToMetadata",
            "response_rules": {
                "max_event_size": _LONGEST_EVENT,
                "content_parser": {
                    "name": "envoy.content_parsers.json",
                    "typed_config": {
                        "@type": f"{_TYPE}.content_parsers.json.v3.JsonContentParser",
                        "rules": [{"rule": _rule(path, key)} for path, key in _STREAM_PATHS.items()],
                    },
                },
            },
        },
    }


def _rule(path: tuple[str, ...], key: str) -> dict[str, Any]:
    return {
        "selectors": [{"key": part} for part in path],
        "on_present": {"metadata_namespace": USAGE, "key": key, "type": "NUMBER"},
    }
