"""What a test needs and a machine may lack."""

from __future__ import annotations

import os

import pytest


def require(missing: str | None) -> None:
    """Skip the test if something is missing, or fail it where nothing may be skipped.

    Args:
        missing: what, and how to get it; None where everything is there.
    """
    if missing and os.environ.get("MAAS_TESTS_SKIP_NOTHING"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
