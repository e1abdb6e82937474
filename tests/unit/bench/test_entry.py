from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Result
from bench.measures import MEASURES
from bench.report import updated

ROOT = Path(__file__).parents[3]
JSON = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_list_names_every_measure() -> None:
    listed = run("--list")

    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(MEASURES)


def test_an_unknown_measure_is_refused_with_the_names_there_are() -> None:
    refused = run("--only", "nonsense")

    assert refused.returncode == 2
    assert all(name in refused.stderr for name in MEASURES)


def test_the_page_says_what_was_measured() -> None:
    page = PAGE.read_text()
    result = Result.read(json.loads(JSON.read_text()))
    titles = {measure.name: measure.title for measure in MEASURES.values()}

    assert updated(page, result, titles) == page


def test_what_is_published_is_the_whole_and_names_no_machine() -> None:
    document = json.loads(JSON.read_text())

    assert document["quick"] is False
    assert set(document["machine"]) == {
        "processor",
        "architecture",
        "cores",
        "memory_gib",
        "kernel",
        "load_at_start",
    }
    measured = {figure["measure"] for figure in document["figures"]}
    assert measured | {skipped["measure"] for skipped in document["skipped"]} == set(MEASURES)
