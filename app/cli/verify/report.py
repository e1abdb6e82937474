"""Shows a run: a line for each check as it ends, a table, or JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from app.cli.verify.check import Check, Result, Status
from app.observability.logging import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from app.cli.verify.view import View

_SIGNS = {
    Status.PASS: "[green]✓ pass[/]",
    Status.WARN: "[yellow]! warn[/]",
    Status.FAIL: "[red]✗ fail[/]",
    Status.SKIP: "[dim]- skip[/]",
}
_WIDTH = 20


def fix_of(result: Result, view: View) -> str:
    """What to do about a result, with the real names; empty where there is nothing to do."""
    if result.outcome.status not in (Status.WARN, Status.FAIL):
        return ""
    text = result.outcome.fix or result.check.fix
    return named(text, kubectl=view.kubectl.name, namespace=view.namespace, gateway=view.gateway)


def named(text: str, *, kubectl: str, namespace: str, gateway: str) -> str:
    """A fix with the names of a platform in it."""
    for name, value in (("{kubectl}", kubectl), ("{namespace}", namespace), ("{gateway}", gateway)):
        text = text.replace(name, value)
    return text


def show_line(console: Console, result: Result, view: View) -> None:
    """One line for a result, and one for what to do about it."""
    detail = escape(redact(result.outcome.detail))
    console.print(f"{_SIGNS[result.outcome.status]}  {result.check.id:<{_WIDTH}} {detail}")
    if fix := fix_of(result, view):
        console.print(f"        [bold]fix:[/] {escape(fix)}")


def show_summary(console: Console, results: Sequence[Result]) -> None:
    """How many checks of each family ended how."""
    table = Table(title_justify="left")
    table.add_column("family")
    for status in Status:
        table.add_column(status.value, justify="right")
    for family in dict.fromkeys(result.check.family for result in results):
        table.add_row(family, *_counts(result for result in results if result.check.family == family))
    table.add_section()
    table.add_row("all", *_counts(results))
    console.print()
    console.print(table)


def show_plan(console: Console, checks: Iterable[Check]) -> None:
    """What would be asked, and what would be read or sent for it."""
    for check in checks:
        console.print(f"[bold]{check.id:<{_WIDTH}}[/] {escape(check.asks)}")
        console.print(f"{'':<{_WIDTH}} [dim]{escape(check.how)}[/]")


def plan_as_json(checks: Iterable[Check]) -> str:
    """The same for programs."""
    return json.dumps([{"id": each.id, "asks": each.asks, "how": each.how} for each in checks], indent=2)


def as_json(results: Sequence[Result], view: View) -> str:
    """``{"result": "pass" | "fail", "checks": [{"id", "asks", "status", "detail", "fix", "seconds"}]}``."""
    checks = [
        {
            "id": result.check.id,
            "asks": result.check.asks,
            "status": result.outcome.status.value,
            "detail": redact(result.outcome.detail),
            "fix": fix_of(result, view),
            "seconds": round(result.seconds, 3),
        }
        for result in results
    ]
    return json.dumps({"result": "fail" if any_failed(results) else "pass", "checks": checks}, indent=2)


def any_failed(results: Iterable[Result]) -> bool:
    """Whether something does not work."""
    return any(result.outcome.status is Status.FAIL for result in results)


def _counts(results: Iterable[Result]) -> list[str]:
    counts = Counter(result.outcome.status for result in results)
    return [str(counts[status] or "") for status in Status]
