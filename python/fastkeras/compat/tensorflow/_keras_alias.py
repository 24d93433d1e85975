"""Imports below `fastkeras.compat.tensorflow.keras` and `.data`, which are fastkeras and fastkeras.data themselves.

`from fastkeras.compat.tensorflow.keras.layers import Dense` finds the module `fastkeras.layers`, not a second copy of
it: an object is the same whichever name it was imported by.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_HERE = __name__.rpartition(".")[0]
_HOMES = {f"{_HERE}.keras": "fastkeras", f"{_HERE}.data": "fastkeras.data"}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of fastkeras by the names they have in tf."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(_HERE):
            return None
        for name, home in _HOMES.items():
            if fullname == name or fullname.startswith(f"{name}."):
                real = home + fullname.removeprefix(name)
                if importlib.util.find_spec(real) is None:
                    return None
                return importlib.machinery.ModuleSpec(fullname, self, loader_state=real)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        module = importlib.import_module(spec.loader_state)
        # The import system is about to replace it.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Makes the names importable."""
    if not any(type(f).__name__ == "_Finder" and type(f).__module__ == __name__ for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name, home in _HOMES.items():
        sys.modules[name] = importlib.import_module(home)
