"""Metrics are told what happened later, and never too late."""

from __future__ import annotations

from app.observability.deferred import Deferred
from app.observability.registry import Registry


def test_what_happened_is_told_in_its_order_before_anybody_reads_the_metrics() -> None:
    told: list[tuple[str, float]] = []
    registry = Registry()

    def observe(step: str, seconds: float) -> None:
        told.append((step, seconds))

    note = Deferred(registry)(observe)
    note("create", 1.0)
    note("token_request", 2.0)
    assert told == []
    list(registry.collect())
    assert told == [("create", 1.0), ("token_request", 2.0)]


def test_what_was_told_is_told_once() -> None:
    registry = Registry()
    calls = registry.counter("calls", "Calls.")

    def count() -> None:
        calls.inc()

    Deferred(registry)(count)()
    assert [registry.get_sample_value("maas_calls_total") for _ in range(2)] == [1, 1]


def test_what_nobody_reads_does_not_pile_up() -> None:
    told: list[int] = []
    note = Deferred(Registry())(told.append)
    for number in range(1000):
        note(number)
    assert 900 < len(told) <= 1000
    assert told == list(range(len(told)))
