"""Names of data types: standardising what users write and asking what kind a type is."""

from __future__ import annotations

from typing import Any

from fastkeras import _engine
from fastkeras.core import config

FLOAT_TYPES = ("bfloat16", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
INT_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
ALLOWED_DTYPES = frozenset(
    ("bool", "string", "complex64", "complex128", "int4", "uint4", "float32", *FLOAT_TYPES, *INT_TYPES)
)
_FLOATS = frozenset(FLOAT_TYPES)
_INTS = frozenset(INT_TYPES)
_PYTHON_TYPES = {bool: "bool", int: "int32", float: "float32", str: "string", complex: "complex64"}


def standardize_dtype(dtype: Any) -> str:
    """Returns the standard name of `dtype`.

    Args:
        dtype: None (the default float type), a name, a Python type, a NumPy dtype or scalar type, or an
            object of another library whose `name` or text form is a type name (`jax.numpy.float32`,
            `torch.float32`).

    Raises:
        ValueError: if it names no known type.

    Example:
        >>> standardize_dtype(np.float32)
        'float32'
    """
    if dtype is None:
        return config.floatx()
    if type(dtype) is str and dtype in ALLOWED_DTYPES:
        return dtype
    try:
        name = _PYTHON_TYPES.get(dtype, dtype)
    except TypeError:
        name = dtype
    if name is float:
        name = config.floatx()
    if not isinstance(name, str):
        if hasattr(name, "name"):
            name = name.name
        elif hasattr(name, "__name__"):
            name = name.__name__
        elif "torch" in str(name):
            name = str(name).split(".")[-1]
    if name not in ALLOWED_DTYPES:
        raise ValueError(f"Invalid dtype: {dtype!r}. Expected one of {', '.join(sorted(ALLOWED_DTYPES))}.")
    return str(name)


def is_float_dtype(dtype: Any) -> bool:
    """Whether `dtype` is a floating-point type."""
    if type(dtype) is str and dtype in _FLOATS:
        return True
    return standardize_dtype(dtype) in _FLOATS


def is_int_dtype(dtype: Any) -> bool:
    """Whether `dtype` is a signed or unsigned integer type (bool is not)."""
    return standardize_dtype(dtype) in _INTS


def result_type(*dtypes: Any) -> str:
    """Returns the type that operands of these types (or dtype-bearing values) are promoted to.

    Python scalar types (`int`, `float`) are weak: they take the type of what they meet.

    Example:
        >>> result_type("int32", "float32")
        'float32'
    """
    if not dtypes:
        return config.floatx()
    standard = []
    for dtype in dtypes:
        if dtype in (int, float, bool):
            standard.append(dtype)
        else:
            standard.append(standardize_dtype(getattr(dtype, "dtype", dtype)))
    return _result_type(tuple(standard))


def _result_type(dtypes: tuple[Any, ...]) -> str:
    strong = [d for d in dtypes if isinstance(d, str)]
    if not strong:
        return config.floatx() if float in dtypes else ("int32" if int in dtypes else "bool")
    result = _engine.result_type(*strong)
    # A weak scalar lifts the result only into a higher kind: bool -> int -> float.
    if float in dtypes and result not in _FLOATS and not result.startswith("complex"):
        return config.floatx()
    if int in dtypes and result == "bool":
        return "int32"
    return result
