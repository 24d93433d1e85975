"""What a namespace says about a name that it does not have."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn


def missing(
    module: str, instead: Mapping[str, str] | None = None, shown: str | None = None
) -> Callable[[str], NoReturn]:
    """Returns the `__getattr__` of a module: an AttributeError that names what is missing, and what to use.

    Args:
        module: `__name__` of the module.
        instead: a sentence for each missing name that has something in its place.
        shown: what users call the module; made of its name if None.
    """
    shown = shown or "tf" + module.removeprefix("fastkeras.compat.tensorflow")

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        hint = (instead or {}).get(name) or _in_ops(name) or _similar(module, shown, name)
        raise AttributeError(
            f"fastkeras.compat.tensorflow has no `{shown}.{name}`. Expected one of the commonly used names, see "
            f"dir({shown}). {hint}"
        )

    return __getattr__


def _in_ops(name: str) -> str:
    from fastkeras import ops

    for place in ("", "image.", "linalg."):
        home = getattr(ops, place[:-1]) if place else ops
        if callable(getattr(home, name, None)) and not isinstance(getattr(home, name), type):
            return f"Use `fastkeras.ops.{place}{name}`, with Keras' arguments."
    return ""


def _similar(module: str, shown: str, name: str) -> str:
    names = [n for n in dir(sys.modules[module]) if not n.startswith("_")]
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"Did you mean {' or '.join(f'`{shown}.{c}`' for c in close)}?"
    return "Write it with `fastkeras.ops`, or with the tf functions that exist."
