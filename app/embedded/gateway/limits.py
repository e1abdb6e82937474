"""How many requests each owner may send: the configuration of Envoy's local rate limit filter.

The filter is configured apart from the routes (an extension configuration of its own), because
Envoy starts with full buckets whenever it takes a new configuration of the filter: a model that
comes or goes must not give everybody a fresh minute.

One filter holds every counter. A bucket belongs to a counter (`inference` or `models`, said by the
route), a tier and an owner; so an owner has one bucket for all models and all tokens, and another
one for `/v1/models`. Buckets refill evenly: with 10 requests a minute, one every six seconds.

Envoy keeps the buckets in memory, made when an owner first comes. Beyond `MAX_OWNERS` in a tier it
forgets the owner who was away longest, who then comes back with a full bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FILTER = "maas.limits"
TYPE_URL = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
METADATA = "maas"
INFERENCE = "inference"
MODELS = "models"
MAX_OWNERS = 100_000

_MOST = 2**32 - 1
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def rate_limits(tier_limits: Mapping[str, int], max_owners: int = MAX_OWNERS) -> dict[str, Any]:
    """Return the extension configuration of the rate limit filter.

    A tier that is not in `tier_limits` (the service knows a new one a moment earlier than the
    gateway) is neither unlimited nor shut out: all its owners share the smallest limit there is.

    Args:
        tier_limits: Requests per minute of one owner, by tier.
        max_owners: Owners remembered per tier and counter.

    Raises:
        ValueError: A limit is less than one, or a tier has no name.
    """
    for tier, limit in tier_limits.items():
        if not tier:
            raise ValueError("a tier needs a name")
        if limit < 1:
            raise ValueError(f"the limit of tier {tier!r} is {limit}; it must be at least 1")
    return {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": FILTER,
        "typed_config": {
            "@type": TYPE_URL,
            "stat_prefix": "maas",
            "filter_enabled": _ALWAYS,
            "filter_enforced": _ALWAYS,
            "token_bucket": _bucket(min(tier_limits.values(), default=1)),
            "always_consume_default_token_bucket": False,
            "max_dynamic_descriptors": max_owners,
            "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            "rate_limits": [{"actions": _ACTIONS}],
            "descriptors": [
                {
                    "entries": [
                        {"key": "counter", "value": counter},
                        {"key": "x-maas-tier", "value": tier},
                        {"key": "x-maas-user"},  # No value: one bucket for each that comes.
                    ],
                    "token_bucket": _bucket(limit),
                }
                for counter in (INFERENCE, MODELS)
                for tier, limit in sorted(tier_limits.items())
            ],
        },
    }


_ACTIONS = [
    {
        "metadata": {
            "descriptor_key": "counter",
            "metadata_key": {"key": METADATA, "path": [{"key": "counter"}]},
            "source": "ROUTE_ENTRY",
        }
    },
    {"request_headers": {"descriptor_key": "x-maas-tier", "header_name": "x-maas-tier"}},
    {"request_headers": {"descriptor_key": "x-maas-user", "header_name": "x-maas-user"}},
]


def _bucket(limit: int) -> dict[str, Any]:
    tokens = min(limit, _MOST)
    return {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "60s"}
