"""`tf.dtypes`: types as objects. A DType is the type's name, a str, so fastkeras takes it wherever it takes a name."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.core.dtypes import ALLOWED_DTYPES, FLOAT_TYPES, INT_TYPES
from fastkeras.data.dtypes import dtype_name, numpy_dtype

_COMPLEX = ("complex64", "complex128")


class DType(str):
    """A type of tensors.

    Example:
        >>> tf.float32 == "float32", tf.float32.as_numpy_dtype
        (True, numpy.float32)
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name, such as `"float32"`."""
        return str(self)

    @property
    def as_numpy_dtype(self) -> type:
        """The NumPy scalar type."""
        return numpy_dtype(str(self)).type

    @property
    def base_dtype(self) -> DType:
        """The type itself."""
        return self

    @property
    def is_floating(self) -> bool:
        """Whether it is a floating-point type."""
        return str(self) in FLOAT_TYPES

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer type; bool is not."""
        return str(self) in INT_TYPES

    @property
    def is_unsigned(self) -> bool:
        """Whether it is an integer type without negative numbers."""
        return self.is_integer and self.startswith("u")

    @property
    def is_bool(self) -> bool:
        """Whether it is bool."""
        return str(self) == "bool"

    @property
    def is_complex(self) -> bool:
        """Whether it is a complex type."""
        return str(self) in _COMPLEX

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return numpy_dtype(str(self)).itemsize

    @property
    def min(self) -> Any:
        """The lowest finite number."""
        return self._limits().min

    @property
    def max(self) -> Any:
        """The highest finite number."""
        return self._limits().max

    @property
    def limits(self) -> tuple[Any, Any]:
        """`(min, max)`."""
        return self.min, self.max

    def _limits(self) -> Any:
        if self.is_integer:
            return np.iinfo(str(self))
        if not self.is_floating:
            raise TypeError(
                f"The type {str(self)} has no limits. Expected an integer or floating-point type."
            )
        try:
            return np.finfo(str(self))
        except (TypeError, ValueError):
            import ml_dtypes

            return ml_dtypes.finfo(str(self))

    def is_compatible_with(self, other: Any) -> bool:
        """Whether `other` is the same type."""
        return self == as_dtype(other)

    def __repr__(self) -> str:
        return f"tf.{str(self)}"


bfloat16 = DType("bfloat16")
float16 = half = DType("float16")
float32 = DType("float32")
float64 = double = DType("float64")
int8 = DType("int8")
int16 = DType("int16")
int32 = DType("int32")
int64 = DType("int64")
uint8 = DType("uint8")
uint16 = DType("uint16")
uint32 = DType("uint32")
uint64 = DType("uint64")
bool = DType("bool")
string = DType("string")
complex64 = DType("complex64")
complex128 = DType("complex128")


def as_dtype(type_value: Any) -> DType:
    """Returns the DType for a name, a NumPy type, a Python type or a tensor's `dtype`.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(type_value, DType):
        return type_value
    if type_value is None or (isinstance(type_value, str) and type_value not in ALLOWED_DTYPES):
        raise TypeError(
            f"Cannot convert {type_value!r} to a tf.DType. Expected one of {', '.join(sorted(ALLOWED_DTYPES))}."
        )
    try:
        return DType(dtype_name(type_value))
    except ValueError as error:
        raise TypeError(f"Cannot convert {type_value!r} to a tf.DType. {error}") from None


def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`x` converted to another type; fractions are cut off when they become integers."""
    return ops.cast(x, dtype)


def saturate_cast(value: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`value` converted to another type; numbers out of its range become the nearest ones in it."""
    return ops.saturate_cast(value, dtype)


__getattr__ = missing(__name__)
