"""What the op files share: making tensors of what users pass, axes and dtypes, and calling elementwise ops.

Every public op is a thin function over `_engine.call`, or a composition of such calls; nothing here is
public.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.keras_tensor import KerasTensor as KerasTensor  # for the op files
from fastkeras.core.operation import symbolic_op as symbolic_op

Tensor = _engine.Tensor
Cell = _engine.Cell
call = _engine.call
result_type = _engine.result_type

# What an op accepts where it says `x`: Tensor, Variable, NumPy array, Python number, nested list,
# KerasTensor.
TensorLike = Any
DType = Any
Axes = int | Sequence[int] | None

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
HALVES = frozenset(("float16", "bfloat16"))
SIGNED_INTS = frozenset(("int8", "int16", "int32", "int64"))
UNSIGNED_INTS = frozenset(("uint8", "uint16", "uint32", "uint64"))
# Largest finite value of every floating type; bfloat16 spelled out because NumPy does not know it.
FLOAT_MAX = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}
# The type in which a sum or product of small integers is accumulated and returned.
SUM_DTYPE = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}

_NUMPY = (np.ndarray, np.generic)
_LISTS = (list, tuple)
_VALUES = (Tensor, Cell)
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


# ------------------------------------------------------------------------------------------ making tensors


def as_tensor(x: TensorLike) -> Tensor:
    """Returns `x` as a Tensor of its own type; a Variable gives its current value."""
    if type(x) is Tensor:
        return x
    if isinstance(x, Cell):
        return x.value
    return _from_host(x)


def as_tensor_of(x: TensorLike, dtype: str) -> Tensor:
    """Returns `x` as a Tensor of the given (standard) type."""
    if type(x) is not Tensor:
        if type(x) in _NUMBERS:
            return _engine.tensor(x, dtype)
        x = as_tensor(x)
    return x if x.dtype == dtype else call("cast", x, dtype=dtype)


_NUMBERS = frozenset((bool, int, float))


def _from_host(x: Any) -> Tensor:
    if isinstance(x, _NUMPY):
        return _engine.tensor(x)
    if isinstance(x, float):
        return _engine.tensor(x, config.floatx())
    if isinstance(x, int):
        return _engine.tensor(x)
    if isinstance(x, _LISTS):
        if _holds_tensor(x):
            return _stack_nested(x)
        array = np.asarray(x)
        if array.dtype == np.float64 and not _holds_numpy(x):
            return _engine.tensor(array.astype(np.float64), config.floatx())
        if array.dtype == np.int64 and not _holds_numpy(x):
            fits = not array.size or (array.min() >= _INT32_MIN and array.max() <= _INT32_MAX)
            return _engine.tensor(array.astype(np.int32) if fits else array)
        if array.dtype.kind in "OUS":
            raise ValueError(
                f"Cannot make a tensor of {_short(x)}: its rows have different lengths, or it holds "
                f"{'text' if array.dtype.kind in 'US' else 'objects'}. Expected numbers in a regular nested "
                "list."
            )
        return _engine.tensor(array)
    if x is None:
        raise ValueError(
            "Cannot make a tensor of None. Expected a tensor, an array, a number or a nested list."
        )
    if hasattr(x, "__array__") or hasattr(x, "__dlpack__"):
        # Arrays of other libraries; `torch.Tensor` on the CPU and `jax.Array` come through here.
        return _engine.tensor(np.asarray(x) if hasattr(x, "__array__") else np.from_dlpack(x))
    raise TypeError(
        f"Cannot make a tensor of {_short(x)} (of type {type(x).__name__}). "
        "Expected a tensor, a Variable, a NumPy array, a number or a nested list of numbers."
    )


def _holds_tensor(x: Any) -> bool:
    return any(_holds_tensor(item) if isinstance(item, _LISTS) else isinstance(item, _VALUES) for item in x)


def _holds_numpy(x: Any) -> bool:
    return any(_holds_numpy(item) if isinstance(item, _LISTS) else isinstance(item, _NUMPY) for item in x)


def _stack_nested(x: Any) -> Tensor:
    parts = same_dtype([_stack_nested(i) if isinstance(i, _LISTS) and _holds_tensor(i) else i for i in x])
    shape = parts[0].shape
    for i, part in enumerate(parts):
        if part.shape != shape:
            raise ValueError(
                "Cannot make one tensor of a list of tensors with different shapes: "
                f"element 0 has shape {shape}, element {i} has shape {part.shape}."
            )
    rows = [call("reshape", part, shape=(1, *shape)) for part in parts]
    return call("concatenate", *rows, axis=0) if len(rows) > 1 else rows[0]


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 80 else text[:77] + "..."


def same_dtype(xs: Iterable[TensorLike]) -> list[Tensor]:
    """Returns Tensors of one type: that to which the types of `xs` are promoted."""
    tensors = [as_tensor(x) for x in xs]
    first = tensors[0].dtype
    if all(t.dtype == first for t in tensors):
        return tensors
    dtype = result_type(*[t.dtype for t in tensors])
    return [t if t.dtype == dtype else call("cast", t, dtype=dtype) for t in tensors]


def cast_to(x: Tensor, dtype: str) -> Tensor:
    """Casts a Tensor unless it has the (standard) type already."""
    return x if x.dtype == dtype else call("cast", x, dtype=dtype)


def as_float(x: TensorLike) -> Tensor:
    """Returns `x` as a floating Tensor: integers and booleans become the default float type."""
    x = as_tensor(x)
    return x if x.dtype in FLOATS else call("cast", x, dtype=config.floatx())


def host_value(x: TensorLike, op: str, why: str) -> np.ndarray:
    """Returns the value of `x` for an op whose result's shape depends on it.

    Raises:
        TracedValueError: while a function or a model is being traced, when `x` has no value yet.
    """
    if isinstance(x, np.ndarray):
        return x
    x = as_tensor(x)
    if x.is_traced:
        raise _engine.TracedValueError(
            f"ops.{op} {why}, so it needs the values of its argument, and there are none while a model or "
            "function is being traced (fit, predict, fastkeras.function, a Functional model). Call it "
            "outside, "
            "on the data."
        )
    return x.numpy()


def dtype_or_floatx(dtype: DType) -> str:
    """Returns the standard name of `dtype`, None meaning the default float type."""
    return config.floatx() if dtype is None else standardize_dtype(dtype)


# ---------------------------------------------------------------------------------------- elementwise calls


def unary(op: str, x: TensorLike) -> Tensor:
    """Records an elementwise op; the engine takes tensors, arrays and numbers, the rest is converted here."""
    if isinstance(x, Tensor):
        return call(op, x)
    return call(op, as_tensor(x))


def binary(op: str, x1: TensorLike, x2: TensorLike) -> Tensor:
    """Records an elementwise op of two operands; Python numbers stay weakly typed."""
    return call(op, x1 if type(x1) in _DIRECT else operand(x1), x2 if type(x2) in _DIRECT else operand(x2))


_DIRECT = frozenset((Tensor, bool, int, float))


def operand(x: TensorLike) -> Any:
    """Returns `x` as an operand of an elementwise op: a Tensor, or a Python number.

    A NumPy double or 64-bit integer *scalar* counts as a Python number: it is what `np.sqrt(2)` or `a.sum()`
    gives, and must not turn a float32 computation into float64.
    """
    if type(x) in _DIRECT:
        return x
    if isinstance(x, np.float64):
        return float(x)
    if isinstance(x, np.int64):
        return int(x)
    return as_tensor(x)


# -------------------------------------------------------------------------------------- axes, shapes, dtypes


def canonical_axis(axis: int, ndim: int, name: str = "axis") -> int:
    """Returns `axis` counted from the front."""
    if -ndim <= axis < ndim:
        return axis + ndim if axis < 0 else int(axis)
    raise ValueError(
        f"{name}={axis} is out of range for a tensor of {ndim} dimensions: expected {-ndim} <= {name} < "
        f"{ndim}."
    )


def canonical_axes(axis: Axes, ndim: int, name: str = "axis") -> list[int]:
    """Returns the axes in a list, each counted from the front; None means all of them."""
    if axis is None:
        return list(range(ndim))
    if isinstance(axis, int):
        return [canonical_axis(axis, ndim, name)]
    if hasattr(axis, "__index__"):
        return [canonical_axis(int(axis), ndim, name)]
    axes = [canonical_axis(int(a), ndim, name) for a in axis]
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}={tuple(axis)} names a dimension twice.")
    return axes


def canonical_shape(shape: Any) -> list[int]:
    """Returns a shape argument as a list of ints; a single int is a shape of one dimension."""
    if isinstance(shape, int):
        return [shape]
    try:
        return [int(d) for d in shape]
    except TypeError:
        if hasattr(shape, "__index__"):
            return [int(shape)]
        raise ValueError(f"Cannot use {shape!r} as a shape: expected an int or a sequence of ints.") from None


def count(shape: Sequence[int]) -> int:
    """Returns the number of elements of a shape."""
    return math.prod(shape)


def move_axes_last(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Transposes `axes` (canonical) to the end, the others in order before them."""
    rest = [i for i in range(x.ndim) if i not in axes]
    perm = [*rest, *axes]
    return x if perm == list(range(x.ndim)) else call("transpose", x, perm=perm)


def with_ones(shape: Sequence[int], axes: Iterable[int]) -> list[int]:
    """Returns `shape` with 1 in the place of `axes`: what a reduction with `keepdims` gives."""
    axes = set(axes)
    return [1 if i in axes else d for i, d in enumerate(shape)]


def iota(n: int, dtype: str = "int32") -> Tensor:
    """Returns 0, 1, ..., n - 1."""
    return call("iota", shape=[n], axis=0, dtype=dtype)


def along(x: Tensor, axis: int, ndim: int) -> Tensor:
    """Reshapes a 1-D tensor so that it broadcasts along `axis` of a tensor of `ndim` dimensions."""
    shape = [1] * ndim
    shape[axis] = -1
    return call("reshape", x, shape=shape)


def cut(x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """Returns x[..., start:stop:step, ...] along one axis; the bounds are already inside the dimension."""
    if start == 0 and step == 1 and stop == x.shape[axis]:
        return x
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return call("slice", x, start=starts, stop=stops, step=steps)


def join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Concatenates Tensors of one type."""
    return call("concatenate", *parts, axis=axis) if len(parts) > 1 else parts[0]


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Reshapes a Tensor unless it has the shape already."""
    return x if x.shape == tuple(shape) else call("reshape", x, shape=list(shape))


def broadcast(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Broadcasts a Tensor unless it has the shape already."""
    return x if x.shape == tuple(shape) else call("broadcast_to", x, shape=list(shape))


def reduce_sum(x: Tensor, axes: Sequence[int], keepdims: bool = False) -> Tensor:
    return call("reduce_sum", x, axes=axes, keepdims=keepdims)


def reduce_max(x: Tensor, axes: Sequence[int], keepdims: bool = False) -> Tensor:
    return call("reduce_max", x, axes=axes, keepdims=keepdims)


def reduce_min(x: Tensor, axes: Sequence[int], keepdims: bool = False) -> Tensor:
    return call("reduce_min", x, axes=axes, keepdims=keepdims)


def missing(what: str, instead: str = "") -> NotImplementedError:
    """Returns the error for a capability that does not exist yet."""
    return NotImplementedError(f"{what} is not supported.{' ' + instead if instead else ''}")


Function = Callable[..., Any]
