"""A LiteLLM proxy as its documentation sets one up for production, in a virtual environment of its own.

One worker, a master key (virtual keys need PostgreSQL), no telemetry, only errors logged, its price list
taken from the package and not from the network.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bench.programs import Program, program
from bench.run import CannotMeasureError
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.run import Bench

KEY = "sk-bench-0123456789"
MODEL = "qwen3"
_REQUIREMENTS = Path(__file__).with_suffix(".txt")
_ENVIRONMENT = Path(sys.prefix) / ".litellm"
_INSTALL_SECONDS = 600
_START_SECONDS = 120
_END_OF_LOG = 1000
_VARIABLES = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "127.0.0.1,localhost",
}


async def install(bench: Bench) -> Path:
    """The `litellm` program, installed if it is not there in the version that is wanted.

    Raises:
        CannotMeasureError: pip did not get it.
    """
    wanted = _REQUIREMENTS.read_text()
    note = _ENVIRONMENT / "installed.txt"
    if not note.exists() or note.read_text() != wanted:
        task = bench.progress.add_task("installing LiteLLM (a minute, once)", total=None)
        await _run(sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENT))
        pip = (str(_ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet")
        await _run(*pip, "install", "-r", str(_REQUIREMENTS))
        note.write_text(wanted)
        bench.progress.update(task, total=1, completed=1)
    bench.versions["litellm"] = wanted.strip().rpartition("==")[2]
    return _ENVIRONMENT / "bin" / "litellm"


@asynccontextmanager
async def running(bench: Bench, model: int) -> AsyncIterator[tuple[Program, int]]:
    """The proxy in front of the model at this port, and its own port.

    Raises:
        CannotMeasureError: it cannot be installed.
        ProgramError: it does not start.
    """
    executable = await install(bench)
    directory = bench.directory / "litellm"
    directory.mkdir()
    configuration = directory / "config.yaml"
    # JSON is YAML.
    configuration.write_bytes(orjson.dumps(_configuration(model)))
    port = free_port()
    command = [str(executable), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]
    async with program(
        [*command, "--num_workers", "1", "--telemetry", "False"],
        log=directory / "litellm.log",
        ready=f"http://127.0.0.1:{port}/health/liveliness",
        variables=_VARIABLES,
        within_seconds=_START_SECONDS,
    ) as process:
        yield process, port


def _configuration(model: int) -> dict[str, object]:
    return {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"http://127.0.0.1:{model}/v1",
                    "api_key": "none",
                },
            }
        ],
        "general_settings": {"master_key": KEY, "disable_spend_logs": True},
        "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
    }


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CannotMeasureError("LiteLLM could not be installed in time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = output.decode(errors="replace").strip()[-_END_OF_LOG:]
        raise CannotMeasureError(f"LiteLLM could not be installed: {said}")
