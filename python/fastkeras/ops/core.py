"""Conversions, shapes, slices and mapping: the ops that Keras has beside the NumPy-like ones."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras.core.dtypes import standardize_dtype
from fastkeras.ops._common import (
    FLOAT_MAX,
    FLOATS,
    Cell,
    DType,
    KerasTensor,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    call,
    canonical_axis,
    canonical_shape,
    cast_to,
    cut,
    iota,
    join,
    reshape,
    symbolic_op,
)

# ---------------------------------------------------------------------------------------------- conversions


@symbolic_op
def cast(x: TensorLike, dtype: DType) -> Tensor:
    """x converted to another type; numbers with a fraction lose it when they become integers."""
    dtype = standardize_dtype(dtype)
    x = as_tensor(x)
    return x if x.dtype == dtype else call("cast", x, dtype=dtype)


@symbolic_op
def saturate_cast(x: TensorLike, dtype: DType) -> Tensor:
    """x converted to another type, numbers out of its range becoming the nearest ones in it.

    Example:
        >>> ops.saturate_cast([-5.0, 300.0], "uint8")
        [0, 255]
    """
    x, dtype = as_tensor(x), standardize_dtype(dtype)
    if x.dtype == dtype:
        return x
    low, high = _limits(dtype)
    own_low, own_high = _limits(x.dtype)
    if x.dtype == "bool":
        return call("cast", x, dtype=dtype)
    # Limits that the source type cannot reach need no test, and could not be written in it.
    limit = _as_own(high, x.dtype)
    inside = call("maximum", x, _as_own(low, x.dtype)) if low > own_low else x
    if high < own_high:
        inside = call("minimum", inside, limit)
    out = call("cast", inside, dtype=dtype)
    # The largest int32 is not a float32: what is above the one before it becomes the largest int32.
    return call("where", call("greater", x, limit), high, out) if limit < high < own_high else out


def _limits(dtype: str) -> tuple[float | int, float | int]:
    if dtype == "bool":
        return 0, 1
    if dtype in FLOATS:
        return -FLOAT_MAX[dtype], FLOAT_MAX[dtype]
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _as_own(limit: float | int, dtype: str) -> Any:
    if dtype not in FLOATS:
        return int(limit)
    # 2**31 - 1 rounds up to 2**31 in float32, which does not fit: take the float below.
    if dtype in ("float32", "float64"):
        as_float = np.dtype(dtype).type(limit)
        if int(as_float) > limit:
            as_float = np.nextafter(as_float, np.dtype(dtype).type(0))
        return float(as_float)
    return float(limit)


@symbolic_op
def convert_to_tensor(
    x: TensorLike, dtype: DType = None, sparse: bool | None = None, ragged: bool | None = None
) -> Tensor:
    """x as a tensor.

    Args:
        x: a tensor, Variable, NumPy array, number, nested list, or an array of another library.
        dtype: the type of the result; that of x if None (numbers: int32, or the default float type).
        sparse, ragged: must not be True: there are no sparse or ragged tensors.
    """
    if sparse or ragged:
        raise NotImplementedError("Sparse and ragged tensors are not supported.")
    return as_tensor(x) if dtype is None else as_tensor_of(x, standardize_dtype(dtype))


def convert_to_numpy(x: TensorLike) -> np.ndarray:
    """The value of x as a NumPy array.

    Raises:
        ValueError: for a KerasTensor, which has no value.
    """
    if isinstance(x, KerasTensor):
        raise ValueError(f"A KerasTensor has no value to convert to a NumPy array: {x}.")
    if isinstance(x, np.ndarray):
        return x
    return as_tensor(x).numpy()


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor (a Variable and a KerasTensor are not)."""
    return isinstance(x, Tensor)


def dtype(x: TensorLike) -> str:
    """The name of the type of x, such as "float32"."""
    return standardize_dtype(x.dtype) if hasattr(x, "dtype") else as_tensor(x).dtype


def shape(x: TensorLike) -> tuple[int | None, ...]:
    """The shape of x; None stands for the unknown sizes of a KerasTensor."""
    return tuple(x.shape) if hasattr(x, "shape") else as_tensor(x).shape


@symbolic_op
def stop_gradient(variable: TensorLike) -> Tensor:
    """The same value, through which no gradient flows."""
    return call("stop_gradient", as_tensor(variable))


# --------------------------------------------------------------------------------------------------- slices


@symbolic_op
def slice(inputs: TensorLike, start_indices: TensorLike, shape: Sequence[int]) -> Tensor:
    """The part of `inputs` that begins at `start_indices` and has the given shape.

    Args:
        start_indices: one index per dimension: ints, or a tensor. A start from which the part would stick out
            is moved back.
        shape: one size per dimension.
    """
    x = as_tensor(inputs)
    sizes = canonical_shape(shape)
    if len(sizes) != x.ndim:
        raise ValueError(
            f"Expected a shape of {x.ndim} dimensions, as many as the inputs have; received {shape}."
        )
    sizes = [
        d - s if size == -1 and isinstance(s, int) else size
        for d, s, size in zip(x.shape, _starts(start_indices, x.ndim), sizes)
    ]
    for d, size in zip(x.shape, sizes, strict=True):
        if not 0 <= size <= d:
            raise ValueError(f"A part of shape {tuple(sizes)} does not fit into inputs of shape {x.shape}.")
    for axis, (start, size) in enumerate(zip(_starts(start_indices, x.ndim), sizes, strict=True)):
        room = x.shape[axis] - size
        if isinstance(start, int):
            start = builtins.max(0, builtins.min(start + x.shape[axis] if start < 0 else start, room))
            x = cut(x, axis, start, start + size)
        else:
            start = call("maximum", call("minimum", start, room), 0)
            x = call("gather", x, start + iota(size), axis=axis)
    return x


def _starts(start_indices: Any, ndim: int) -> list[Any]:
    """The start of each dimension: an int where it is known, else a scalar tensor."""
    if isinstance(start_indices, Cell):
        start_indices = start_indices.value
    if isinstance(start_indices, (np.ndarray, list, tuple)):
        starts = [s if isinstance(s, (Tensor, Cell)) else int(s) for s in start_indices]
    else:
        given = as_tensor(start_indices)
        if given.ndim != 1:
            raise ValueError(f"Expected one start index per dimension; received shape {given.shape}.")
        starts = [given[i] for i in range(given.shape[0])]
    if len(starts) != ndim:
        raise ValueError(f"Expected {ndim} start indices, one per dimension; received {len(starts)}.")
    return [s if isinstance(s, int) else cast_to(reshape(as_tensor(s), []), "int32") for s in starts]


@symbolic_op
def slice_update(inputs: TensorLike, start_indices: TensorLike, updates: TensorLike) -> Tensor:
    """`inputs` with the part that begins at `start_indices` replaced by `updates`.

    Args:
        start_indices: as for `slice`.
        updates: as many dimensions as the inputs, none larger.
    """
    x = as_tensor(inputs)
    new = as_tensor_of(updates, x.dtype)
    if new.ndim != x.ndim or any(n > d for n, d in zip(new.shape, x.shape, strict=True)):
        raise ValueError(f"Updates of shape {new.shape} do not fit into inputs of shape {x.shape}.")
    inside = None
    known, low, high = True, [], []
    for axis, start in enumerate(_starts(start_indices, x.ndim)):
        d, size = x.shape[axis], new.shape[axis]
        if isinstance(start, int):
            start = builtins.max(0, builtins.min(start + d if start < 0 else start, d - size))
            low.append(start)
            high.append(d - size - start)
            continue
        known = False
        low.append(0)
        high.append(0)
        if size == d:
            continue
        # A start known only at run time: look every position up in the updates, and mask those outside.
        start = call("maximum", call("minimum", start, d - size), 0)
        place = iota(d) - start
        within = call("logical_and", call("greater_equal", place, 0), call("less", place, size))
        new = call(
            "gather", new, call("minimum", call("maximum", place, 0), builtins.max(size - 1, 0)), axis=axis
        )
        lead = [1] * x.ndim
        lead[axis] = d
        within = call("reshape", within, shape=lead)
        inside = within if inside is None else call("logical_and", inside, within)
    axes = [a for a in range(x.ndim) if low[a] or high[a]]
    if known and len(axes) <= 1:
        if not axes:
            return new
        axis = axes[0]
        start, stop = low[axis], low[axis] + new.shape[axis]
        parts = [cut(x, axis, 0, start)] if start else []
        parts.append(new)
        if stop < x.shape[axis]:
            parts.append(cut(x, axis, stop, x.shape[axis]))
        return join(parts, axis)
    if axes:
        covered = call(
            "full", value=1, shape=[n if a in axes else 1 for a, n in enumerate(new.shape)], dtype="bool"
        )
        covered = call("pad", covered, low=low, high=high)
        inside = covered if inside is None else call("logical_and", inside, covered)
        new = call("pad", new, low=low, high=high)
    return new if inside is None else call("where", inside, new, x)


@symbolic_op
def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices of x along `axis`, without that dimension.

    Args:
        num: how many there are; it is known from the shape, and only checked.
    """
    x = as_tensor(x)
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    if num is not None and num != n:
        raise ValueError(f"Cannot unstack {num} slices along axis {axis} of shape {x.shape}: there are {n}.")
    rest = [*x.shape[:axis], *x.shape[axis + 1 :]]
    return [reshape(cut(x, axis, i, i + 1), rest) for i in range(n)]
