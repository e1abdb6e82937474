"""The Kubernetes library takes no more memory than what is used of it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import app.kube.connect
assert "kubernetes_asyncio.client" in sys.modules
print(*(name for name, module in sys.modules.items()
        if name.startswith("kubernetes_asyncio.client.models") and getattr(module, "__file__", None)))
"""


def test_the_generated_classes_of_the_library_are_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
