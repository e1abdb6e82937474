from __future__ import annotations

import pytest

from bench.figures import Must, Skipped
from bench.report import BEGIN, END, ReportError, number, rendered, updated
from tests.unit.bench.results import figure, result

TIMES = "\N{MULTIPLICATION SIGN}"
TITLES = {"issue": "issuing", "litellm": "beside LiteLLM"}


def test_a_figure_is_a_row_with_its_unit_and_its_verdict() -> None:
    page = rendered(result(figure(value=12.0)), TITLES)

    assert "### issuing" in page
    cells = ["issue a token: p50", "12.0 ms", "bare calls: 8.00 ms", f"1.50{TIMES}", f"1.10 to 1.20{TIMES}"]
    cells += [f"ratio ≤ 1.15{TIMES}", "**no**"]
    assert f"| {' | '.join(cells)} |" in page.splitlines()


def test_a_figure_without_a_baseline_has_no_ratio() -> None:
    alone = figure(baseline=None, spread=(1.0, 250.0), spread_of="value", must=Must("value", "<=", 250))

    row = "| issue a token: p50 | 9.00 ms |  |  | 1.00 to 250 ms | value ≤ 250 ms | yes |"
    assert row in rendered(result(alone), TITLES).splitlines()


def test_the_machine_the_versions_and_what_was_skipped_are_told() -> None:
    page = rendered(result(skipped=[Skipped("litellm", "no network")]), TITLES)

    assert "A Processor, 2 cores, 23.5 GiB, x86_64, Linux 6.1." in page
    assert "envoy 1.40.0" in page
    assert "- beside LiteLLM: no network" in page


def test_what_people_wrote_around_the_results_stays() -> None:
    page = f"# Ours\n{BEGIN}\nyesterday\n{END}\n## Found\nby hand\n"

    once = updated(page, result(figure()), TITLES)

    assert once.startswith(f"# Ours\n{BEGIN}\nMeasured on 2026-11-24")
    assert once.endswith(f"{END}\n## Found\nby hand\n")
    assert "yesterday" not in once
    assert updated(once, result(figure()), TITLES) == once


@pytest.mark.parametrize("page", ["", "# Ours\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_page_without_a_place_for_results_is_left_alone(page: str) -> None:
    with pytest.raises(ReportError, match="no place"):
        updated(page, result(), TITLES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (100.0, "100"), (99.94, "99.9"), (1.0, "1.00"), (0.0512, "0.0512"), (0.0, "0")],
)
def test_numbers_have_three_digits_that_say_something(value: float, text: str) -> None:
    assert number(value) == text
