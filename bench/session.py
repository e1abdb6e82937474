"""Carries measures out, one after the other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.embedded.gateway import EnvoyNotFoundError, find_envoy
from bench.clients import clients
from bench.figures import Result, Skipped
from bench.machine import machine, program_version, versions
from bench.run import Bench, CannotMeasureError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress

    from bench.run import Measure


async def measure_all(
    measures: Sequence[Measure], *, quick: bool, directory: Path, progress: Progress
) -> Result:
    """The result of these measures; one that cannot be carried out is skipped, and says why.

    Args:
        measures: what is measured, in this order.
        quick: whether few repetitions have to do.
        directory: for files, which are of no use afterwards.
        progress: shows how far it is.

    Raises:
        TimeoutError: a measure took longer than it may.
    """
    result = Result(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=quick,
        machine=machine(),
        versions=await versions(),
    )
    try:
        result.versions["envoy"] = await program_version(find_envoy())
    except EnvoyNotFoundError as error:
        result.skipped = [Skipped(measure.name, str(error)) for measure in measures]
        return result
    async with clients() as pool:
        for measure in measures:
            if quick and measure.external:
                result.skipped.append(Skipped(measure.name, "not in the quick form"))
                continue
            files = directory / measure.name
            files.mkdir()
            bench = Bench(measure.name, quick, files, pool, progress, result.versions)
            try:
                async with asyncio.timeout(measure.seconds):
                    result.figures += await measure.carry_out(bench)
            except CannotMeasureError as error:
                bench.skip(str(error))
            result.skipped += bench.skipped
    return result
