"""The mask that travels with a tensor (`_keras_mask`)."""

from __future__ import annotations

import weakref
from typing import Any

from fastkeras import _engine
from fastkeras.core.keras_tensor import KerasTensor

_Tensor = _engine.Tensor
# An engine whose tensors have a slot for the mask needs no table beside them.
_SLOT = hasattr(_Tensor, "_keras_mask")
_table: dict[int, tuple[weakref.ref[Any], Any]] = {}


def get_keras_mask(x: Any) -> Any:
    """Returns the mask of `x`, or None."""
    if type(x) is _Tensor and not _SLOT:
        if not _table:
            return None
        entry = _table.get(id(x))
        return entry[1] if entry is not None and entry[0]() is x else None
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Attaches `mask` (a boolean tensor or None) to the tensor `x`."""
    if type(x) is _Tensor and not _SLOT:
        key = id(x)
        if mask is None:
            _table.pop(key, None)
        else:
            _table[key] = (weakref.ref(x, lambda _, key=key: _table.pop(key, None)), mask)
    elif type(x) is _Tensor or isinstance(x, KerasTensor):
        x._keras_mask = mask
