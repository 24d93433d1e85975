"""The mask that travels with a tensor (`_keras_mask`)."""

from __future__ import annotations

import weakref
from typing import Any

from fastkeras import _engine
from fastkeras.core.keras_tensor import KerasTensor

_Tensor = _engine.Tensor


class _Use:
    """Whether any tensor was ever given a mask: until then nobody needs to look for one."""

    __slots__ = ("any",)


in_use = _Use()
in_use.any = False
# Masks of tensors that take no attributes.
_table: dict[int, tuple[weakref.ref[Any], Any]] = {}


def get_keras_mask(x: Any) -> Any:
    """Returns the mask of `x`, or None."""
    if type(x) is _Tensor:
        if not in_use.any:
            return None
        if _table:
            entry = _table.get(id(x))
            if entry is not None:
                return entry[1] if entry[0]() is x else None
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Attaches `mask` (a boolean tensor or None) to the tensor `x`."""
    if type(x) is _Tensor:
        in_use.any = True
        try:
            x._keras_mask = mask
        except AttributeError:
            key = id(x)
            if mask is None:
                _table.pop(key, None)
            else:
                _table[key] = (weakref.ref(x, lambda _, key=key: _table.pop(key, None)), mask)
    elif isinstance(x, KerasTensor):
        x._keras_mask = mask
