"""Looking up and writing by index: `tf.gather`, `tf.scatter_nd`, `tf.where`, `tf.slice`, `tf.unique` ..."""

from __future__ import annotations

import collections
import math
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._adapters import pick
from fastkeras.compat.tensorflow._shape import on_host, shape_arg
from fastkeras.ops._common import as_tensor, symbolic_op

UniqueWithCounts = collections.namedtuple("UniqueWithCounts", ["y", "idx", "count"])
Unique = collections.namedtuple("Unique", ["y", "idx"])


def known(x: Any, what: str, why: str) -> np.ndarray:
    """Returns the value of a tensor that decides about a shape.

    Raises:
        ValueError: while a function or model is traced, when there is none.
    """
    if isinstance(x, np.ndarray):
        return x
    x = as_tensor(x)
    if x.is_traced:
        raise ValueError(
            f"{what} was called while a function or model is traced, with a tensor whose value is not known yet: "
            f"{x!r}. Expected a known value, since {why}. Call it outside on the data, or mask with "
            "tf.where(mask, x, y), which keeps the shape."
        )
    return x.numpy()


# ------------------------------------------------------------------------------------------------- reading


@on_host
def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> Tensor:
    """The slices of `params` along `axis` that `indices` name.

    Args:
        params: where to look up.
        indices: integers of any shape, whose dimensions take the place of that of `axis`.
        validate_indices: unused.
        axis: the dimension; the first one after the batch dimensions if None.
        batch_dims: how many leading dimensions `params` and `indices` share.
        name: unused.
    """
    axis = batch_dims if axis is None else int(axis)
    if not batch_dims:
        return ops.take(params, indices, axis)
    return _batch_gather(params, indices, axis, batch_dims)


@symbolic_op
def _batch_gather(params: Any, indices: Any, axis: int, batch_dims: int) -> Tensor:
    params, indices = as_tensor(params), as_tensor(indices)
    axis = axis % params.ndim
    b = batch_dims % indices.ndim if batch_dims < 0 else batch_dims
    batch, between, rest = params.shape[:b], params.shape[b:axis], params.shape[axis + 1 :]
    n, places = params.shape[axis], indices.shape[b:]
    # All batches in one table: (batch * n, what is looked up).
    order = [*range(b), axis, *range(b, axis), *range(axis + 1, params.ndim)]
    table = ops.reshape(ops.transpose(params, order), [math.prod(batch) * n, *between, *rest])
    start = ops.cast(ops.reshape(ops.arange(math.prod(batch)) * n, [-1, 1]), indices.dtype)
    rows = ops.reshape(ops.reshape(indices, [math.prod(batch), math.prod(places)]) + start, [-1])
    found = ops.reshape(ops.take(table, rows, 0), [*batch, *places, *between, *rest])
    k, m = len(places), len(between)
    back = [*range(b), *range(b + k, b + k + m), *range(b, b + k), *range(b + k + m, found.ndim)]
    return ops.transpose(found, back)


def gather_nd(params: Any, indices: Any, batch_dims: int = 0, name: str | None = None) -> Tensor:
    """The slices of `params` at positions: the last dimension of `indices` names a place in its first dimensions."""
    return _gather_nd(params, indices, int(batch_dims))


@symbolic_op
def _gather_nd(params: Any, indices: Any, batch_dims: int) -> Tensor:
    params, indices = as_tensor(params), as_tensor(indices)
    for i in range(batch_dims - 1, -1, -1):
        # The place in each batch dimension becomes part of the index.
        lead = [1] * indices.ndim
        lead[i] = indices.shape[i]
        number = ops.reshape(ops.arange(indices.shape[i], dtype=indices.dtype), lead)
        column = ops.broadcast_to(number, [*indices.shape[:-1], 1])
        indices = ops.concatenate([column, indices], -1)
    k = indices.shape[-1]
    if k > params.ndim:
        raise ValueError(
            f"tf.gather_nd got indices of shape {indices.shape} for params of shape {params.shape}. Expected at most "
            f"{params.ndim} numbers in the last dimension, one for each dimension of params. Drop the others."
        )
    strides = np.cumprod([1, *params.shape[:k][::-1]])[:-1][::-1]
    rows = ops.sum(indices * ops.cast(np.ascontiguousarray(strides), indices.dtype), -1)
    table = ops.reshape(params, [math.prod(params.shape[:k]), *params.shape[k:]])
    return ops.take(table, rows, 0)


@on_host
def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Tensor:
    """The part of a tensor that begins at `begin` and has the shape `size`, -1 in which means up to the end."""
    sizes = shape_arg(size, "size")
    starts = begin if isinstance(begin, Tensor) and begin.is_traced else _starts(begin)
    return ops.slice(input_, starts, sizes)


def _starts(begin: Any) -> Any:
    # Starts may be computed in the trace; those that are known are better as numbers.
    if isinstance(begin, (list, tuple)):
        return [b if isinstance(b, Tensor) else int(b) for b in begin]
    return shape_arg(begin, "begin")


def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
    name: str | None = None,
) -> Tensor:
    """`input_[begin[0]:end[0]:strides[0], ...]`.

    Args:
        input_: the tensor.
        begin, end, strides: for the leading dimensions.
        begin_mask, end_mask: bits of the dimensions whose begin or end is left open.
        ellipsis_mask: bit of the position that stands for the dimensions in between.
        new_axis_mask: bits of positions where a dimension of size 1 is put in.
        shrink_axis_mask: bits of the dimensions of which one index is taken.
        var: unused.
        name: unused.
    """
    starts, stops = shape_arg(begin, "begin"), shape_arg(end, "end")
    steps = [1] * len(starts) if strides is None else shape_arg(strides, "strides")
    key: list[Any] = []
    for i, (start, stop, step) in enumerate(zip(starts, stops, steps)):
        bit = 1 << i
        if ellipsis_mask & bit:
            key.append(Ellipsis)
        elif new_axis_mask & bit:
            key.append(None)
        elif shrink_axis_mask & bit:
            key.append(start)
        else:
            key.append(_span(None if begin_mask & bit else start, None if end_mask & bit else stop, step))
    return ops.get_item(input_, tuple(key))


def _span(*parts: Any) -> Any:
    import builtins

    return builtins.slice(*parts)


def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """`x` where the condition holds and `y` elsewhere; without them, the positions where it holds.

    Args:
        condition: booleans.
        x, y: tensors or numbers that broadcast with it.
        name: unused.

    Returns:
        A tensor; the positions as int64 `(number, dimensions)`, for which the value must be known.

    Raises:
        ValueError: if only one of x and y is given.
    """
    if (x is None) != (y is None):
        raise ValueError(
            "tf.where got only one of `x` and `y`. Expected both, or neither. Pass the other one."
        )
    if x is not None:
        return ops.where(ops.cast(condition, "bool"), x, y)
    value = known(condition, "tf.where(condition)", "the number of positions depends on it")
    return ops.convert_to_tensor(np.argwhere(value).astype(np.int64))


def boolean_mask(tensor: Any, mask: Any, axis: Any = None, name: str = "boolean_mask") -> Tensor:
    """The elements where the mask holds; its dimensions, from `axis` on, become one.

    Args:
        tensor: the tensor.
        mask: booleans in the shape of (leading) dimensions of the tensor. Their value must be known.
        axis: the first dimension masked, 0 if None.
        name: unused.
    """
    axis = 0 if axis is None else int(axis)
    chosen = known(mask, "tf.boolean_mask", "the size of the result depends on the mask").astype(bool)
    shape = ops.shape(tensor)
    if tuple(shape[axis : axis + chosen.ndim]) != chosen.shape:
        raise ValueError(
            f"tf.boolean_mask got a mask of shape {chosen.shape} for a tensor of shape {tuple(shape)} from axis {axis} "
            "on. Expected equal sizes. Reshape the mask, or give another axis."
        )
    flat = ops.reshape(tensor, [*shape[:axis], chosen.size, *shape[axis + chosen.ndim :]])
    return ops.take(flat, np.flatnonzero(chosen).astype(np.int32), axis)


def unique(x: Any, out_idx: Any = "int32", name: str | None = None) -> Unique:
    """The different elements in order of first occurrence, and for each element its place among them."""
    values, places, _ = _unique(x)
    return Unique(values, ops.cast(places, out_idx))


def unique_with_counts(x: Any, out_idx: Any = "int32", name: str | None = None) -> UniqueWithCounts:
    """As `tf.unique`, and how often each occurs."""
    values, places, counts = _unique(x)
    return UniqueWithCounts(values, ops.cast(places, out_idx), ops.cast(counts, out_idx))


def _unique(x: Any) -> tuple[Tensor, Tensor, Tensor]:
    value = known(x, "tf.unique", "the size of the result depends on it")
    found, first, inverse, counts = np.unique(
        value, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    convert = ops.convert_to_tensor
    return convert(found[order]), convert(place[inverse.reshape(-1)]), convert(counts[order])


def searchsorted(
    sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = "int32", name: str | None = None
) -> Tensor:
    """Where each value would have to be put into the sorted last dimension.

    Args:
        sorted_sequence: (..., n) in ascending order.
        values: (..., m).
        side: "left" for before equal elements, "right" for after.
        out_type: type of the result.
        name: unused.
    """
    pick(("left", "right"), side, "`side` of tf.searchsorted")
    if len(ops.shape(sorted_sequence)) == 1:
        return ops.cast(ops.searchsorted(sorted_sequence, values, side), out_type)
    row, value = ops.expand_dims(sorted_sequence, -2), ops.expand_dims(values, -1)
    before = ops.less(row, value) if side == "left" else ops.less_equal(row, value)
    return ops.cast(ops.sum(ops.cast(before, "int32"), -1), out_type)


# ------------------------------------------------------------------------------------------------- writing


def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Tensor:
    """Zeros of a shape, with `updates` added at `indices`."""
    return ops.scatter(indices, updates, shape_arg(shape))


def tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with the slices at `indices` replaced."""
    return ops.scatter_update(tensor, indices, updates)


def tensor_scatter_nd_add(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with `updates` added at `indices`."""
    return ops.scatter_update(tensor, indices, updates, "add")


def tensor_scatter_nd_sub(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with `updates` subtracted at `indices`."""
    return ops.scatter_update(tensor, indices, ops.negative(updates), "add")


def tensor_scatter_nd_max(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with the larger of what is there and `updates` at `indices`."""
    return ops.scatter_update(tensor, indices, updates, "max")


def tensor_scatter_nd_min(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with the smaller of what is there and `updates` at `indices`."""
    return ops.scatter_update(tensor, indices, updates, "min")
