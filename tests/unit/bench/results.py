from __future__ import annotations

from typing import Any

from bench.figures import Figure, Must, Result

MACHINE = {
    "processor": "A Processor",
    "architecture": "x86_64",
    "cores": 2,
    "memory_gib": 23.5,
    "kernel": "Linux 6.1",
    "load_at_start": 0.1,
}


def figure(**changed: Any) -> Figure:
    chosen: dict[str, Any] = {
        "measure": "issue",
        "name": "issue a token: p50",
        "unit": "ms",
        "value": 9.0,
        "baseline": 8.0,
        "against": "bare calls",
        "spread": (1.1, 1.2),
        "must": Must("ratio", "<=", 1.15),
        **changed,
    }
    return Figure(**chosen)


def result(*figures: Figure, **changed: Any) -> Result:
    chosen: dict[str, Any] = {
        "date": "2026-11-24T12:00:00+00:00",
        "quick": False,
        "machine": MACHINE,
        "versions": {"privatemaas": "0.1.0", "envoy": "1.40.0"},
        "figures": list(figures),
        **changed,
    }
    return Result(**chosen)
