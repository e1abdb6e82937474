"""What is used of kubernetes-asyncio, without what is not.

Importing any part of the library imports its generated classes too, one for each type and each API group of
Kubernetes: 40 MB and 0.4 s, a third of what the whole service takes. Nothing here uses them (decision 2), so
while the library is imported their modules are empty stand-ins.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GENERATED = ("kubernetes_asyncio.client.api", "kubernetes_asyncio.client.models")


class _Nothing(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _StandIns(MetaPathFinder, Loader):
    """Finds a stand-in wherever generated code would be found."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname in _GENERATED or fullname.rpartition(".")[0] in _GENERATED:
            return ModuleSpec(fullname, self, is_package=fullname in _GENERATED)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Nothing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def _without_generated_classes() -> Iterator[None]:
    stand_ins = _StandIns()
    sys.meta_path.insert(0, stand_ins)
    try:
        yield
    finally:
        sys.meta_path.remove(stand_ins)


with _without_generated_classes():
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client import ApiClient, Configuration

__all__ = ["ApiClient", "Configuration", "config"]
