from __future__ import annotations

import json

import pytest

from bench.figures import Must, Result, Skipped
from tests.unit.bench.results import figure, result


@pytest.mark.parametrize(
    ("must", "value", "baseline", "holds"),
    [
        (Must("ratio", "<=", 1.5), 15.0, 10.0, True),
        (Must("ratio", "<=", 1.5), 15.1, 10.0, False),
        (Must("ratio", ">=", 0.6), 6.0, 10.0, True),
        (Must("ratio", ">=", 0.6), 5.9, 10.0, False),
        (Must("difference", "<=", 2), 3.0, 1.0, True),
        (Must("difference", "<=", 2), 3.1, 1.0, False),
        (Must("value", "<=", 250), 250.0, None, True),
        (Must("value", "<=", 250), 250.1, None, False),
        (Must("value", "<=", 250), float("nan"), None, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_whether_a_figure_holds(
    must: Must | None, value: float, baseline: float | None, *, holds: bool | None
) -> None:
    assert figure(must=must, value=value, baseline=baseline).holds is holds


@pytest.mark.parametrize("of", ["ratio", "difference"])
def test_what_cannot_be_compared_does_not_hold(of: str) -> None:
    assert figure(must=Must(of, "<=", 1e9), baseline=None).holds is False  # type: ignore[arg-type]


def test_a_baseline_of_nothing_gives_no_ratio() -> None:
    assert figure(baseline=0.0).ratio is None
    assert figure(baseline=0.0).holds is False


def test_a_document_says_what_follows_from_the_numbers() -> None:
    document = figure(value=9.0, baseline=8.0).document()

    assert {"name", "unit", "value", "baseline", "ratio", "must", "holds"} <= document.keys()
    assert document["ratio"] == 1.125
    assert document["holds"] is True


def test_a_result_survives_being_written() -> None:
    written = result(
        figure(), figure(baseline=None, must=None, spread=None), skipped=[Skipped("litellm", "no network")]
    )

    assert Result.read(json.loads(json.dumps(written.document()))) == written


def test_what_is_written_about_holding_is_not_believed_when_it_is_read() -> None:
    document = result(figure(value=100.0)).document()
    document["figures"][0] |= {"holds": True, "ratio": 1.0}

    assert Result.read(document).figures[0].holds is False
