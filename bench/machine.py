"""What a run was made on and with."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

_PACKAGES = (
    "aiohttp",
    "fastapi",
    "httptools",
    "msgspec",
    "orjson",
    "pydantic",
    "starlette",
    "uvicorn",
    "uvloop",
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, and how busy it was; nothing that tells whose machine it is."""
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": found.group(1).strip() if found else platform.processor() or "unknown",
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 1024**2, 1) if memory else None,
        "kernel": f"{platform.system()} {platform.release()}",
        "load_at_start": round(os.getloadavg()[0], 2),
    }


async def versions() -> dict[str, str]:
    """Of the service and what it is made of; measures add what they run beside it."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "privatemaas": importlib.metadata.version("privatemaas") + await _commit(),
        "python": platform.python_version(),
        **found,
    }


async def program_version(program: Path) -> str:
    """What a program says of its own version; "unknown" where it says nothing of the kind."""
    said = await _said(str(program), "--version")
    found = _VERSION.search(said)
    return found.group() if found else "unknown"


async def _commit() -> str:
    said = (await _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")).strip()
    return f" ({said})" if said else ""


async def _said(*command: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError:
        return ""
    output, _ = await process.communicate()
    return output.decode(errors="replace") if process.returncode == 0 else ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
