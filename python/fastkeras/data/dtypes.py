"""Types of elements: the names specifications use, and the NumPy types behind them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras.core.dtypes import standardize_dtype

# Kinds of NumPy arrays that count as text.
TEXT_KINDS = "OSUT"


def dtype_name(dtype: Any) -> str:
    """The name of a type; every kind of text is `"string"`.

    Raises:
        ValueError: if it names no known type.
    """
    if isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        dtype = np.dtype(dtype)
        return "string" if dtype.kind in TEXT_KINDS else dtype.name
    if dtype in (bytes, object):
        return "string"
    return standardize_dtype(dtype)


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy type of a type name; text is kept as objects."""
    if name == "string":
        return np.dtype(object)
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
