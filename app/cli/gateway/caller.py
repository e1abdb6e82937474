"""Who asks: the caller token that is given, or that of the login."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from app.kube.caller_token import caller_token as logged_in

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "MAAS_CALLER_TOKEN"


async def caller_token(
    token_file: Path | None, kubeconfig: Path | None, context: str | None
) -> tuple[str, str]:
    """The caller token of the file, the environment or the kubeconfig, in this order, and which it was.

    Raises:
        NoCallerTokenError: there is none.
        OSError: the file cannot be read.
        UnicodeDecodeError: it holds no text.
    """
    if token_file is not None:
        return (await asyncio.to_thread(token_file.read_text)).strip(), str(token_file)
    if given := os.environ.get(VARIABLE, "").strip():
        return given, VARIABLE
    return await logged_in(kubeconfig, context), "the kubeconfig"
