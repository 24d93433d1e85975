"""The small `keras.backend` namespace that user code still calls."""

from fastkeras.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from fastkeras.core.dtypes import is_float_dtype, result_type, standardize_dtype
from fastkeras.core.global_state import clear_session
from fastkeras.core.keras_tensor import is_keras_tensor
from fastkeras.core.naming import get_uid


def is_int_dtype(dtype: object) -> bool:
    """Whether a dtype is a signed or unsigned integer."""
    name = standardize_dtype(dtype)
    return name.startswith(("int", "uint"))


__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]
