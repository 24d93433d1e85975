"""Writing into tensors at indices: scatter, scatter_update, and the segment reductions."""

from __future__ import annotations

from collections.abc import Sequence

from fastkeras.ops._common import (
    FLOATS,
    UNSIGNED_INTS,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    call,
    canonical_shape,
    count,
    cut,
    host_value,
    iota,
    reshape,
    symbolic_op,
)


@symbolic_op
def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[int]) -> Tensor:
    """A tensor of zeros with `values` added at `indices`.

    Args:
        indices: integers (..., k): each names a position in the first k dimensions of the result.
        values: (..., *shape[k:]), what goes to each; values of one position are added up.
        shape: the shape of the result.

    Example:
        >>> ops.scatter([[0], [2], [2]], [1, 2, 3], (4,))
        [1, 0, 5, 0]
    """
    values = as_tensor(values)
    shape = canonical_shape(shape)
    zeros = call("full", value=0, shape=shape, dtype=values.dtype)
    return _scatter(zeros, as_tensor(indices), values, "add")


@symbolic_op
def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> Tensor:
    """`inputs` with the elements at `indices` replaced by `updates`, or combined with them.

    Args:
        indices: integers (..., k): each names a position in the first k dimensions of the inputs.
        updates: (..., *inputs.shape[k:]).
        reduction: None to replace (the last update of a position wins), or "add", "mul", "max" or "min".

    Example:
        >>> ops.scatter_update([0, 0, 0], [[1]], [5])
        [0, 5, 0]
    """
    if reduction not in (None, "add", "mul", "max", "min"):
        raise ValueError(
            f"Expected reduction to be None, 'add', 'mul', 'max' or 'min'; received {reduction!r}."
        )
    inputs = as_tensor(inputs)
    return _scatter(inputs, as_tensor(indices), as_tensor_of(updates, inputs.dtype), reduction or "set")


def _scatter(x: Tensor, indices: Tensor, updates: Tensor, how: str) -> Tensor:
    if indices.dtype in FLOATS or indices.dtype == "bool":
        indices = call("cast", indices, dtype="int32")
    if indices.ndim < 1 or indices.shape[-1] > x.ndim:
        raise ValueError(
            f"Expected indices (..., k) with k <= {x.ndim}, the dimensions of a tensor of shape {x.shape}; "
            "received "
            f"shape {indices.shape}."
        )
    k = indices.shape[-1]
    lead, rest = list(x.shape[:k]), list(x.shape[k:])
    wanted = (*indices.shape[:-1], *rest)
    if updates.shape != wanted:
        raise ValueError(
            f"Indices of shape {indices.shape} into a tensor of shape {x.shape} need updates of shape "
            f"{wanted}; "
            f"received {updates.shape}."
        )
    # The first k dimensions become one, and each index a number in it.
    rows = None
    stride = 1
    for i in range(k - 1, -1, -1):
        column = cut(indices, indices.ndim - 1, i, i + 1)
        if indices.dtype not in UNSIGNED_INTS:
            column = call("where", call("less", column, 0), column + lead[i], column)
        column = column * stride if stride != 1 else column
        rows = column if rows is None else rows + column
        stride *= lead[i]
    m = count(indices.shape[:-1])
    rows = call("full", value=0, shape=[m], dtype="int32") if rows is None else reshape(rows, [m])
    flat, new = call("reshape", x, shape=[count(lead), *rest]), call("reshape", updates, shape=[m, *rest])
    if how == "set":
        out = call("scatter_set", flat, rows, new)
    elif how == "add":
        out = call("scatter_add", flat, rows, new, axis=0)
    else:
        out = _COMBINE[how](flat, _segments(new, rows, count(lead), how))
    return reshape(out, x.shape)


# ---------------------------------------------------------------------------------------------- segments


@symbolic_op
def segment_sum(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """The sums of the rows of `data` that have the same id.

    Args:
        data: rows, along the first dimension.
        segment_ids: an integer for each row; rows whose id is outside 0 .. num_segments - 1 are left out.
        num_segments: how many results; max(segment_ids) + 1 if None, which needs their values.
        sorted: whether the ids are in ascending order (it makes no difference).

    Example:
        >>> ops.segment_sum([1, 2, 3], [0, 0, 2], num_segments=3)
        [3, 0, 3]
    """
    data, ids, n = _segment_arguments(data, segment_ids, num_segments, "segment_sum")
    # One row more, for ids that are out of range.
    zeros = call("full", value=0, shape=[n + 1, *data.shape[1:]], dtype=data.dtype)
    return cut(call("scatter_add", zeros, ids, data, axis=0), 0, 0, n)


@symbolic_op
def segment_max(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """The maxima of the rows of `data` that have the same id; the lowest number where there are none.

    Args: as for `segment_sum`.
    """
    data, ids, n = _segment_arguments(data, segment_ids, num_segments, "segment_max")
    return _segments(data, ids, n, "max")


@symbolic_op
def segment_min(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """The minima of the rows of `data` that have the same id; the highest number where there are none.

    Args: as for `segment_sum`.
    """
    data, ids, n = _segment_arguments(data, segment_ids, num_segments, "segment_min")
    return _segments(data, ids, n, "min")


@symbolic_op
def segment_prod(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """The products of the rows of `data` that have the same id; 1 where there are none.

    Args: as for `segment_sum`.
    """
    data, ids, n = _segment_arguments(data, segment_ids, num_segments, "segment_prod")
    return _segments(data, ids, n, "mul")


def _segment_arguments(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None, op: str
) -> tuple[Tensor, Tensor, int]:
    data, ids = as_tensor(data), as_tensor(segment_ids)
    if ids.ndim != 1 or data.ndim < 1 or data.shape[0] != ids.shape[0]:
        raise ValueError(
            f"ops.{op} needs one id for each row of data; received data of shape {data.shape} and "
            "segment_ids of "
            f"shape {ids.shape}."
        )
    if num_segments is None:
        value = host_value(ids, op, "without `num_segments` gives as many results as the largest id says")
        num_segments = int(value.max()) + 1 if value.size else 0
    ids = ids if ids.dtype == "int32" else call("cast", ids, dtype="int32")
    outside = call("logical_or", call("less", ids, 0), call("greater_equal", ids, num_segments))
    return data, call("where", outside, num_segments, ids), num_segments


def _maximum(a: Tensor, b: Tensor) -> Tensor:
    return call("maximum", a, b)


def _minimum(a: Tensor, b: Tensor) -> Tensor:
    return call("minimum", a, b)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    return a * b


_COMBINE = {"max": _maximum, "min": _minimum, "mul": _multiply}


def _neutral(how: str, dtype: str) -> float | int:
    if how == "mul":
        return 1
    if dtype in FLOATS:
        return float("-inf") if how == "max" else float("inf")
    import numpy as np

    if dtype == "bool":
        return 0 if how == "max" else 1
    info = np.iinfo(dtype)
    return int(info.min if how == "max" else info.max)


def _segments(data: Tensor, ids: Tensor, n: int, how: str) -> Tensor:
    """Combines rows of equal id: sorted by id, runs are combined over distances of 1, 2, 4, ...; each run's
    last row then holds its result, and moves to the place of its id."""
    m = data.shape[0]
    empty = call("full", value=_neutral(how, data.dtype), shape=[n + 1, *data.shape[1:]], dtype=data.dtype)
    if m == 0:
        return cut(empty, 0, 0, n)
    order = call("argsort", ids, axis=0)
    ids, data = call("gather", ids, order, axis=0), call("gather", data, order, axis=0)
    combine = _COMBINE[how]
    column = [m] + [1] * (data.ndim - 1)
    position = iota(m)
    distance = 1
    while distance < m:
        earlier = call("maximum", position - distance, 0)
        same = call(
            "logical_and",
            call("equal", call("gather", ids, earlier, axis=0), ids),
            call("greater_equal", position, distance),
        )
        joined = combine(data, call("gather", data, earlier, axis=0))
        data = call("where", call("reshape", same, shape=column), joined, data)
        distance *= 2
    # Rows that are not the last of their run go to the spare place.
    following = call("gather", ids, call("minimum", position + 1, m - 1), axis=0)
    last = call("logical_or", call("not_equal", following, ids), call("equal", position, m - 1))
    places = call("where", last, ids, n)
    return cut(call("scatter_set", empty, places, data), 0, 0, n)
