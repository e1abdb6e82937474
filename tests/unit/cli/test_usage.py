"""What `maasctl usage` shows on a terminal."""

from __future__ import annotations

import copy
import io
import re
from typing import Any

from rich.console import Console

from app.api.usage_schemas import OwnUsage
from app.cli.usage import show

(EXAMPLE,) = OwnUsage.model_json_schema()["examples"]


def shown(document: dict[str, Any]) -> str:
    out = io.StringIO()
    show(document, Console(file=out, width=200, highlight=False))
    return out.getvalue()


def test_the_example_of_the_api_is_shown_with_its_total_and_what_is_left() -> None:
    text = shown(EXAMPLE)
    rows = (re.split("[│┃]", line) for line in text.splitlines())
    lines = [[cell.strip() for cell in row] for row in rows if len(row) > 1]
    assert lines == [
        ["model", "requests", "refused", "prompt tokens", "completion tokens", "unmetered", "cost (USD)"],
        ["qwen3", "130", "4", "5210", "18042", "0", "0.029668"],
        ["total", "130", "4", "5210", "18042", "0", "0.029668"],
    ]
    assert "From 2026-01-27T00:00:00Z to 2026-01-28T00:00:00Z." in text
    assert "Left of this minute's requests: 7 of 10, as of 2026-01-27T23:59:50Z." in text
    assert "estimate" not in text
    assert "recorded" not in text


def test_what_is_not_certain_is_marked_and_what_is_unknown_is_said() -> None:
    document = copy.deepcopy(EXAMPLE)
    document["models"][0]["exact"] = document["total"]["exact"] = document["complete"] = False
    document["models"][0]["model"] = "[bold]odd"
    document["total"]["cost"] = document["currency"] = None
    document["limits"]["requestsPerMinute"] = {"limit": 10, "used": None, "remaining": None}
    document["limits"]["asOf"] = None
    document["steps"] = [{**EXAMPLE["total"], "from": "2026-01-27T00:00:00Z", "to": "2026-01-28T00:00:00Z"}]
    text = shown(document)
    assert "~130" in text
    assert "[bold]odd" in text
    assert "a part is an estimate" in text
    assert "not recorded at the beginning" in text
    assert "an unknown part of 10, as of never" in text
    assert "from " in text.splitlines()[0]


def test_somebody_without_a_tier_has_no_limits_to_show() -> None:
    assert "Left of" not in shown({**EXAMPLE, "limits": None})
