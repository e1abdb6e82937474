"""The gateway's access log: one JSON object per request, and never a token in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def access_log(path: Path) -> dict[str, Any]:
    """Return the AccessLog that appends to `path` (`/dev/stdout` is the standard output).

    The query is left out: people put tokens there. No header that carries one is named.
    """
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": _FIELDS},
        },
    }


_FIELDS = {
    "time": "%START_TIME%",
    "requestId": "%REQ(X-REQUEST-ID)%",
    "traceId": "%TRACE_ID%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "route": "%ROUTE_NAME%",
    "user": "%REQ(X-MAAS-USER)%",
    "tier": "%REQ(X-MAAS-TIER)%",
    "model": "%REQ(X-MAAS-MODEL)%",
    "durationMilliseconds": "%DURATION%",
    "bytesReceived": "%BYTES_RECEIVED%",
    "bytesSent": "%BYTES_SENT%",
    "clientAddress": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "upstream": "%UPSTREAM_CLUSTER%",
}
