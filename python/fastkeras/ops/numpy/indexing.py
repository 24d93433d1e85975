"""Picking and finding elements: take, where, select, searchsorted, nonzero, indexing as with brackets."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras.ops._common import (
    FLOATS,
    UNSIGNED_INTS,
    Cell,
    Tensor,
    TensorLike,
    as_tensor,
    broadcast,
    call,
    canonical_axis,
    canonical_shape,
    count,
    host_value,
    operand,
    reduce_sum,
    reshape,
    same_dtype,
    symbolic_op,
)


def as_index(indices: TensorLike) -> Tensor:
    """Returns integers to index with; whole numbers of a floating type are accepted, as Keras does."""
    indices = as_tensor(indices)
    if indices.dtype in FLOATS or indices.dtype == "bool":
        return call("cast", indices, dtype="int32")
    return indices


@symbolic_op
def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """The elements (or slices along `axis`) of x at `indices`; negative ones count from the end.

    Args:
        indices: integers of any shape; it takes the place of dimension `axis` in the result.
        axis: the dimension to index; None indexes the flattened x.

    Example:
        >>> ops.take([[1, 2], [3, 4]], [1, 0, 1], axis=0)
        [[3, 4], [1, 2], [3, 4]]
    """
    x = as_tensor(x)
    if axis is None:
        return call("gather", reshape(x, [x.size]), as_index(indices), axis=0)
    return call("gather", x, as_index(indices), axis=canonical_axis(axis, x.ndim))


@symbolic_op
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """For each position of `indices`, the element of x at that position but for `axis`, where the index says.

    Args:
        indices: integers with as many dimensions as x; all but `axis` broadcast against x.
        axis: the dimension; None flattens both first.
    """
    x, indices = as_tensor(x), as_index(indices)
    if axis is None:
        return call("take_along_axis", reshape(x, [x.size]), reshape(indices, [indices.size]), axis=0)
    axis = canonical_axis(axis, x.ndim)
    if x.ndim != indices.ndim:
        raise ValueError(
            f"take_along_axis needs indices with as many dimensions as x; received shapes {indices.shape} "
            "and "
            f"{x.shape}."
        )
    x_shape, i_shape = list(x.shape), list(indices.shape)
    for d in range(x.ndim):
        if d != axis and x_shape[d] != i_shape[d]:
            if x_shape[d] != 1 and i_shape[d] != 1:
                raise ValueError(
                    f"take_along_axis cannot broadcast indices of shape {indices.shape} against x of shape "
                    f"{x.shape}: dimension {d} differs."
                )
            x_shape[d] = i_shape[d] = builtins.max(x_shape[d], i_shape[d])
    return call("take_along_axis", broadcast(x, x_shape), broadcast(indices, i_shape), axis=axis)


@symbolic_op
def where(condition: TensorLike, x1: TensorLike = None, x2: TensorLike = None) -> Tensor | tuple[Tensor, ...]:
    """x1 where `condition` is true, x2 elsewhere; all three broadcast.

    With `condition` alone, the indices of its true elements, as `nonzero` gives them.

    Example:
        >>> ops.where([True, False], [1, 2], 0)
        [1, 0]
    """
    if x1 is None and x2 is None:
        return _nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("ops.where needs both x1 and x2, or neither.")
    condition = operand(condition)
    if getattr(condition, "dtype", "bool") != "bool" or type(condition) in (int, float):
        condition = call("not_equal", condition, 0)
    return call("where", condition, operand(x1), operand(x2))


@symbolic_op
def select(
    condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0
) -> Tensor:
    """For each position, the choice belonging to the first condition that is true there, else `default`."""
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"Expected a choice for each condition; received {len(condlist)} conditions and "
            f"{len(choicelist)} choices."
        )
    if not condlist:
        raise ValueError("Expected at least one condition.")
    choices = (
        same_dtype([*choicelist, as_tensor(default)]) if not _is_weak(default) else same_dtype(choicelist)
    )
    out: Any = operand(default) if _is_weak(default) else choices[-1]
    for condition, choice in reversed(builtins.list(zip(condlist, choices))):
        condition = as_tensor(condition)
        if condition.dtype != "bool":
            raise TypeError(f"ops.select needs conditions of type bool; received {condition.dtype}.")
        out = call("where", condition, choice, out)
    return out


def _is_weak(x: Any) -> bool:
    return type(x) in (bool, int, float)


@symbolic_op
def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """The indices of the elements that are not 0: for each dimension, a tensor (int32) of positions.

    The number of results depends on the values, so x must have a value.
    """
    return _nonzero(x)


def _nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    value = host_value(x, "nonzero", "gives as many results as there are non-zero elements")
    return tuple(as_tensor(i.astype(np.int32)) for i in np.nonzero(value))


@symbolic_op
def unravel_index(indices: TensorLike, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Positions in a tensor of `shape`, one tensor per dimension, from positions in the flattened tensor."""
    indices = as_tensor(indices)
    out = []
    for d in reversed(canonical_shape(shape)):
        out.append(call("mod", indices, d))
        indices = call("floor_divide", indices, d)
    return tuple(reversed(out))


# ---------------------------------------------------------------------------------------------- searching


@symbolic_op
def searchsorted(sorted_sequence: TensorLike, values: TensorLike, side: str = "left") -> Tensor:
    """Where to insert `values` into a sorted 1-D sequence to keep it sorted (int32).

    Args:
        side: "left" for the first such place, "right" for the last.

    Example:
        >>> ops.searchsorted([1, 3, 5], [0, 3, 9])
        [0, 1, 3]
    """
    if side not in ("left", "right"):
        raise ValueError(f"Expected side to be 'left' or 'right'; received {side!r}.")
    sorted_sequence = as_tensor(sorted_sequence)
    if sorted_sequence.ndim != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences. You can use `ops.vectorized_map` to extend "
            "it to "
            f"more dimensions. Received: sorted_sequence.shape={sorted_sequence.shape}"
        )
    return _searchsorted(sorted_sequence, as_tensor(values), side)


def _searchsorted(sequence: Tensor, values: Tensor, side: str) -> Tensor:
    sequence, values = same_dtype((sequence, values))
    n = sequence.shape[0]
    before = "less" if side == "left" else "less_equal"
    if n <= 32:
        # Few steps: count the smaller ones in one fused loop.
        column = call("reshape", values, shape=[*values.shape, 1])
        return reduce_sum(call("cast", _sorts_before(before, sequence, column), dtype="int32"), [values.ndim])
    # Binary search in powers of two: `found` elements are known to come before the value.
    found = call("full", value=0, shape=values.shape, dtype="int32")
    step = 1 << (n.bit_length() - 1)
    while step:
        ahead = found + step
        probe = call("gather", sequence, call("minimum", ahead, n) - 1, axis=0)
        further = call("logical_and", call("less_equal", ahead, n), _sorts_before(before, probe, values))
        found = call("where", further, ahead, found)
        step >>= 1
    return found


def _sorts_before(comparison: str, element: Tensor, value: Tensor) -> Tensor:
    out = call(comparison, element, value)
    if element.dtype not in FLOATS:
        return out
    # NaN sorts after every number.
    number_before_nan = call("logical_and", call("isnan", value), call("logical_not", call("isnan", element)))
    if comparison == "less_equal":
        number_before_nan = call("isnan", value)
    return call("logical_or", out, number_before_nan)


@symbolic_op
def digitize(x: TensorLike, bins: TensorLike) -> Tensor:
    """The index (int32) of the bin each element falls into: i with bins[i - 1] <= x < bins[i].

    Args:
        bins: increasing (or decreasing) numbers in one dimension.

    Example:
        >>> ops.digitize([0.5, 1.0, 7.0], [1.0, 2.0])
        [0, 1, 2]
    """
    x, edges = as_tensor(x), as_tensor(bins)
    if edges.ndim != 1:
        raise ValueError(f"ops.digitize needs 1-D bins; received shape {edges.shape}.")
    n = edges.shape[0]
    if n == 0:
        return call("full", value=0, shape=x.shape, dtype="int32")
    increasing = _searchsorted(edges, x, "right")
    if isinstance(bins, (list, tuple, np.ndarray)) and float(bins[0]) <= float(bins[-1]):
        return increasing
    decreasing = n - _searchsorted(call("reverse", edges, axes=[0]), x, "right")
    return call("where", call("less_equal", edges[0], edges[n - 1]), increasing, decreasing)


@symbolic_op
def isin(x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element of x1 is among the elements of x2 (or is not, with `invert`)."""
    x1, x2 = same_dtype((x1, x2))
    n = x2.size
    if n == 0:
        return call("full", value=int(invert), shape=x1.shape, dtype="bool")
    if n <= 64:
        same = call("equal", call("reshape", x1, shape=[*x1.shape, 1]), reshape(x2, [n]))
        found = call("reduce_max", same, axes=[x1.ndim])
    else:
        if x2.dtype == "bool":
            x1, x2 = call("cast", x1, dtype="int32"), call("cast", x2, dtype="int32")
        ordered = call("sort", reshape(x2, [n]), axis=0)
        place = call("minimum", _searchsorted(ordered, x1, "left"), n - 1)
        found = call("equal", call("gather", ordered, place, axis=0), x1)
    return call("logical_not", found) if invert else found


# ------------------------------------------------------------------------------------------ bracket indexing


@symbolic_op
def get_item(x: TensorLike, key: Any) -> Tensor:
    """`x[key]`, with everything NumPy allows in the brackets.

    Several integer arrays pick one element per position, as in NumPy; a boolean mask needs a value, for the
    shape of the result depends on it.
    """
    x = as_tensor(x)
    keys = key if type(key) is tuple else (key,)
    if not builtins.any(isinstance(k, _ARRAYS) for k in keys):
        return x[key]
    return _advanced_index(x, keys)


_ARRAYS = (Tensor, Cell, np.ndarray, list)


def _advanced_index(x: Tensor, keys: tuple[Any, ...]) -> Tensor:
    """NumPy's advanced indexing: arrays are broadcast together and index their dimensions at once."""
    expanded: list[Any] = []
    for k in keys:
        if isinstance(k, _ARRAYS):
            k = as_tensor(k)
            if k.dtype == "bool":
                expanded.extend(_nonzero(k))
                continue
        expanded.append(k)
    used = builtins.sum(k is not None and k is not Ellipsis for k in expanded)
    if Ellipsis in [k for k in expanded if not isinstance(k, Tensor)]:
        at = next(i for i, k in enumerate(expanded) if k is Ellipsis)
        expanded[at : at + 1] = [slice(None)] * (x.ndim - used)
    else:
        expanded += [slice(None)] * (x.ndim - used)
    arrays = [i for i, k in enumerate(expanded) if isinstance(k, Tensor)]
    # An int beside arrays counts as one of them, and decides with them where the new dimensions go.
    advanced = [i for i, k in enumerate(expanded) if isinstance(k, Tensor) or _is_int(k)]
    basic = tuple(slice(None) if i in advanced else k for i, k in enumerate(expanded))
    if builtins.any(k is None or k != slice(None) for k in basic):
        x = x[basic]
    axes = advanced
    if len(arrays) == 1 and len(advanced) == 1:
        return call("gather", x, as_index(expanded[arrays[0]]), axis=axes[0])
    index_shape = np.broadcast_shapes(*[expanded[i].shape for i in arrays])
    sizes = [x.shape[a] for a in axes]
    linear: Any = 0
    for i, size, stride in zip(advanced, sizes, _strides(sizes), strict=True):
        linear = linear + _wrapped(expanded[i], size) * stride
    rest = [i for i in range(x.ndim) if i not in axes]
    moved = call("transpose", x, perm=[*axes, *rest])
    flat = call("reshape", moved, shape=[count(sizes), *[x.shape[i] for i in rest]])
    out = call("gather", flat, broadcast(linear, index_shape), axis=0)
    if axes != list(range(axes[0], axes[0] + len(axes))) or axes[0] == 0:
        return out
    # The arrays stood side by side behind other dimensions: theirs goes to that place.
    k, lead = len(index_shape), axes[0]
    perm = [*range(k, k + lead), *range(k), *range(k + lead, out.ndim)]
    return call("transpose", out, perm=perm)


def _is_int(k: Any) -> bool:
    return isinstance(k, (int, np.integer)) and not isinstance(k, bool)


def _strides(sizes: Sequence[int]) -> list[int]:
    strides = [1] * len(sizes)
    for i in range(len(sizes) - 2, -1, -1):
        strides[i] = strides[i + 1] * sizes[i + 1]
    return strides


def _wrapped(index: Any, size: int) -> Any:
    """Negative positions counted from the front; positions out of range raise or stay out of range."""
    if _is_int(index):
        return canonical_axis(int(index), size, "index")
    index = as_index(index)
    if index.dtype in UNSIGNED_INTS:
        return index
    return call("where", call("less", index, 0), index + size, index)
