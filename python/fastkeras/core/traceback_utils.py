"""Errors raised inside layers: layer and arguments are named once, internal frames can be left out."""

from __future__ import annotations

import os
import types
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_filtering = True


def enable_traceback_filtering() -> None:
    """Leaves frames inside fastkeras out of the tracebacks of errors raised by layers (the default)."""
    global _filtering
    _filtering = True


def disable_traceback_filtering() -> None:
    """Shows every frame in the tracebacks of errors raised by layers."""
    global _filtering
    _filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Whether frames inside fastkeras are left out of tracebacks."""
    return _filtering


def with_context(error: BaseException, before: str = "", after: str = "") -> BaseException:
    """Returns an error of the same type whose message has text added, unless some layer has done so."""
    if getattr(error, "_fastkeras_context", False) or not isinstance(error, Exception):
        return error
    message = "\n\n".join(part for part in (before, str(error), after) if part)
    new = _same_type(error, message)
    new._fastkeras_context = True  # type: ignore[attr-defined]
    return new.with_traceback(filtered(error.__traceback__))


def _same_type(error: Exception, message: str) -> Exception:
    try:
        new = type(error)(message)
        if str(new) == message:
            new.__cause__ = error.__cause__
            return new
    except Exception:
        pass
    # A type that is not made from one message keeps its own; Python shows the rest as a note.
    if hasattr(error, "add_note"):
        error.add_note(message)
        return error
    return RuntimeError(message)


def filtered(tb: types.TracebackType | None) -> types.TracebackType | None:
    """Returns the traceback without the frames of this package, unless only those are in it."""
    if not _filtering or tb is None:
        return tb
    entries = []
    t: Any = tb
    while t is not None:
        entries.append(t)
        t = t.tb_next
    kept = [e for e in entries if not e.tb_frame.f_code.co_filename.startswith(_PACKAGE)]
    if not kept:
        return tb
    out = None
    for e in reversed(kept):
        out = types.TracebackType(out, e.tb_frame, e.tb_lasti, e.tb_lineno)
    return out


def describe(value: Any) -> str:
    """A short text for an argument in an error message."""
    from fastkeras.core.keras_tensor import KerasTensor

    if isinstance(value, KerasTensor):
        return f"<KerasTensor shape={value.shape}, dtype={value.dtype}>"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"Tensor(shape={tuple(value.shape)}, dtype={value.dtype})"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(describe(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
