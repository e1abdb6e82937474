from __future__ import annotations

from bench.bare_calls import TokenBucket


def test_a_burst_passes_at_once_and_then_each_waits_its_turn() -> None:
    bucket = TokenBucket(5, 10)

    delays = [bucket.delay(100.0) for _ in range(13)]

    assert delays[:10] == [0.0] * 10
    assert [round(delay, 6) for delay in delays[10:]] == [0.2, 0.4, 0.6]


def test_what_was_not_used_is_saved_up_to_the_burst() -> None:
    bucket = TokenBucket(5, 2)
    assert [bucket.delay(0.0) for _ in range(2)] == [0, 0]

    assert bucket.delay(0.2) == 0
    assert round(bucket.delay(0.2), 6) == 0.2
    assert [bucket.delay(1000.0) for _ in range(2)] == [0, 0]
    assert round(bucket.delay(1000.0), 6) == 0.2
