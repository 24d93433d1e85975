"""Conversion of arrays of any origin to engine tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.keras_tensor import KerasTensor

_Tensor = _engine.Tensor


def convert_to_tensor(x: Any, dtype: Any = None) -> Any:
    """Returns `x` as a tensor.

    Args:
        x: tensor, variable, NumPy array, number, nested list, or an array of another library. A KerasTensor
            is returned as it is.
        dtype: type name, or None to keep the type of `x` (Python floats become the default float type).

    Raises:
        TypeError: if `x` is not array-like.
    """
    if dtype is not None:
        dtype = standardize_dtype(dtype)
    if isinstance(x, _engine.Cell):
        x = x.value
    if type(x) is _Tensor:
        return x if dtype is None or x.dtype == dtype else _engine.call("cast", x, dtype=dtype)
    if isinstance(x, KerasTensor):
        if dtype is None or x.dtype == dtype:
            return x
        from fastkeras import ops

        return ops.cast(x, dtype)
    if not isinstance(x, np.ndarray) and hasattr(x, "__array__"):
        x = np.asarray(x)
    return _engine.tensor(x, dtype)
