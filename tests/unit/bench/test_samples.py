from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.samples import Rounds, percentile, spread

SAMPLES = st.lists(st.floats(0, 1e6), min_size=1)


def test_percentiles_are_nearest_ranks_in_any_order() -> None:
    hundred = [*range(100, 0, -1)]

    assert [percentile(hundred, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 50) == 7
    assert percentile([1, 2, 3], 50) == 2
    assert percentile([1, 2, 3, 4], 50) == 2


@given(SAMPLES, st.floats(0.001, 100))
def test_so_many_samples_are_not_above_a_percentile(samples: list[float], percent: float) -> None:
    found = percentile(samples, percent)

    assert found in samples
    below = sum(sample <= found for sample in samples)
    assert below >= len(samples) * percent / 100 * (1 - 1e-9)
    assert sum(sample < found for sample in samples) < len(samples) * percent / 100


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentage_out_of_range_is_an_error(percent: float) -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        percentile([1.0], percent)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_latencies_of_all_rounds_count_together_and_rates_by_their_median() -> None:
    rounds = Rounds(latencies=[[0.001, 0.002, 0.003], [0.1]], rates=[10.0, 1000.0, 20.0])

    assert rounds.percentile(50) == 2
    assert rounds.percentiles(50) == [2, 100]
    assert rounds.rate() == 20


def test_the_spread_compares_round_by_round() -> None:
    assert spread([2.0, 9.0], [1.0, 3.0]) == (2, 3)
    assert spread([2.0, 9.0], [1.0, 3.0], operator.sub) == (1, 6)


def test_sides_with_another_number_of_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        spread([1.0, 2.0], [1.0])
