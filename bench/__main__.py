"""`python -m bench`: measures PrivateMaaS beside what it is compared with, in one run on this machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.measures import MEASURES
from bench.report import updated
from bench.session import measure_all
from bench.terminal import shown

if TYPE_CHECKING:
    from bench.figures import Result

_WIDTH = 160
_DOCS = Path(__file__).parents[1] / "docs"
_EPILOG = """
Each figure is measured beside what it is compared with, in turn (A B A B ...), so that both see the same
machine; a ratio is the value divided by what it is compared with. Latencies are percentiles over the samples
of all rounds, rates are the median of the rounds; "rounds" are the least and the greatest of one round.

examples:
  make bench                          everything; into docs/benchmarks.json and docs/benchmarks.md
  make bench QUICK=1                  at most three minutes, nothing from elsewhere; only shown
  python -m bench --only issue scale  two measures; only shown, unless --output names a file
  python -m bench --list              what there is to measure

Use a machine with nothing else to do. All load goes to 127.0.0.1, bounded in count and time. `make tools`
builds the control plane that the measures stand on. What is missing here is not measured, and the result says
why. The exit code is 1 if a figure does not reach what it must, but not with --quick, which is too short to
judge by.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing from elsewhere")
    parser.add_argument("--list", action="store_true", help="list the measures and end")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=list(MEASURES), help="only these measures (see --list)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results there, as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for measure in MEASURES.values():
            print(f"{measure.name:<10} {measure.title}{'; not with --quick' if measure.external else ''}")
        return 0
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        measures = [MEASURES[name] for name in (chosen.only or MEASURES)]
        try:
            with Progress(*columns, console=console) as progress:
                result = uvloop.run(
                    measure_all(measures, quick=chosen.quick, directory=Path(directory), progress=progress)
                )
        except KeyboardInterrupt:
            console.print("stopped; nothing was written")
            return 130
    # Logs of a CI are wider than the 80 columns that are assumed of what is no terminal.
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(shown(result))
    _write(result, chosen.output, publish=not (chosen.only or chosen.quick))
    failed = [figure for figure in result.figures if figure.holds is False]
    return int(bool(failed) and not chosen.quick)


def _write(result: Result, output: Path | None, *, publish: bool) -> None:
    text = orjson.dumps(result.document(), option=orjson.OPT_INDENT_2) + b"\n"
    if output:
        output.write_bytes(text)
    if publish:
        titles = {measure.name: measure.title for measure in MEASURES.values()}
        page = _DOCS / "benchmarks.md"
        page.write_text(updated(page.read_text(), result, titles))
        (_DOCS / "benchmarks.json").write_bytes(text)


if __name__ == "__main__":
    sys.exit(main())
