"""Order and counts: sort, quantiles, histograms, unique values, correlation."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.ops._common import (
    FLOATS,
    Axes,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    broadcast,
    call,
    canonical_axes,
    canonical_axis,
    cast_to,
    count,
    cut,
    host_value,
    move_axes_last,
    operand,
    reduce_max,
    reduce_min,
    reduce_sum,
    reshape,
    same_dtype,
    symbolic_op,
    with_ones,
)
from fastkeras.ops.numpy.indexing import _searchsorted


@symbolic_op
def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """x in ascending order along `axis` (NaN last); None flattens it first."""
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, [x.size]), 0
    if x.dtype == "bool":
        ordered = call("sort", call("cast", x, dtype="uint8"), axis=canonical_axis(axis, x.ndim))
        return call("cast", ordered, dtype="bool")
    return call("sort", x, axis=canonical_axis(axis, x.ndim))


@symbolic_op
def argsort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """The indices (int32) that put x in ascending order along `axis`; equal elements keep their order."""
    return _argsort(as_tensor(x), axis)


def _argsort(x: Tensor, axis: int | None) -> Tensor:
    if x.ndim == 0:
        return call("full", value=0, shape=[], dtype="int32")
    if axis is None:
        x, axis = reshape(x, [x.size]), 0
    if x.dtype == "bool":
        x = call("cast", x, dtype="uint8")
    return call("argsort", x, axis=canonical_axis(axis, x.ndim))


@symbolic_op
def argpartition(x: TensorLike, kth: int, axis: int | None = -1) -> Tensor:
    """Indices (int32) along `axis` such that the kth names the element a sort would put there.

    Those before it name elements not above it, those after it elements not below it.
    """
    x = as_tensor(x)
    n = x.size if axis is None else x.shape[canonical_axis(axis, x.ndim)]
    if not -n <= kth < n:
        raise ValueError(f"kth={kth} is out of range for {n} elements.")
    return _argsort(x, axis)


# ---------------------------------------------------------------------------------------------- quantiles


@symbolic_op
def median(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The middle element along `axis`, or the mean of the two middle ones; NaN if there is a NaN."""
    return _quantile(x, 0.5, axis, "midpoint", keepdims, False)


@symbolic_op
def quantile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The value below which a share `q` of the elements along `axis` lies.

    Args:
        q: a share in [0, 1], or several in one dimension: then that dimension comes first in the result.
        method: what to give between two elements: "linear", "lower", "higher", "midpoint" or "nearest".

    Example:
        >>> ops.quantile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.5
    """
    return _quantile(x, q, axis, method, keepdims, False)


@symbolic_op
def percentile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """Like `quantile`, with `q` in percent."""
    return _quantile(x, _percent(q), axis, method, keepdims, False)


@symbolic_op
def nanmedian(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The median of the elements along `axis` that are not NaN."""
    return _quantile(x, 0.5, axis, "midpoint", keepdims, True)


@symbolic_op
def nanquantile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The quantile of the elements along `axis` that are not NaN."""
    return _quantile(x, q, axis, method, keepdims, True)


@symbolic_op
def nanpercentile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The percentile of the elements along `axis` that are not NaN."""
    return _quantile(x, _percent(q), axis, method, keepdims, True)


def _percent(q: TensorLike) -> TensorLike:
    return q / 100.0 if isinstance(q, (int, float)) else as_float(q) / 100.0


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    x: TensorLike, q: TensorLike, axis: Axes, method: str, keepdims: bool, skip_nan: bool
) -> Tensor:
    if method not in _METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(_METHODS)}; received {method!r}.")
    x = as_float(x)
    dtype = x.dtype
    work = "float64" if dtype == "float64" else "float32"
    q = as_tensor_of(q, work)
    if q.ndim > 1:
        raise ValueError(f"Expected q to be a number or 1-D; received shape {q.shape}.")
    axes = canonical_axes(axis, x.ndim)
    kept = [d for i, d in enumerate(x.shape) if i not in axes]
    n = count([x.shape[a] for a in axes])
    if n == 0:
        raise ValueError(f"A quantile of no elements: x has shape {x.shape}, axis={axis}.")
    rows = call("reshape", move_axes_last(cast_to(x, work), axes), shape=[*kept, n])
    nan = call("isnan", rows)
    ordered = call("sort", call("where", nan, math.inf, rows) if skip_nan else rows, axis=len(kept))
    shares = reshape(q, [q.size])
    if skip_nan:
        present = reduce_sum(call("cast", call("logical_not", nan), dtype=work), [len(kept)], True)
        place = shares * call("maximum", present - 1.0, 0.0)
        empty = call("equal", present, 0.0)
    else:
        place = shares * float(n - 1)
        empty = reduce_max(nan, [len(kept)], True)
    low, high = call("floor", place), call("ceil", place)

    def at(position: Tensor) -> Tensor:
        index = call("cast", call("maximum", call("minimum", position, float(n - 1)), 0.0), dtype="int32")
        if skip_nan:
            return call("take_along_axis", ordered, broadcast(index, [*kept, q.size]), axis=len(kept))
        return call("gather", ordered, index, axis=len(kept))

    if method == "linear":
        weight = place - low
        a, b = at(low), at(high)
        # Not a + (b - a) w: two equal infinities must not make NaN, nor must 0 * inf.
        out = call("where", call("equal", weight, 0.0), a, a * (1.0 - weight) + b * weight)
    elif method == "midpoint":
        a, b = at(low), at(high)
        out = call("where", call("equal", low, high), a, (a + b) * 0.5)
    elif method == "nearest":
        out = at(call("ceil", place - 0.5))
    else:
        out = at(low if method == "lower" else high)
    out = cast_to(call("where", empty, math.nan, out), dtype)
    lead = with_ones(x.shape, axes) if keepdims else kept
    if q.ndim == 0:
        return call("reshape", out, shape=lead)
    out = call("transpose", out, perm=[len(kept), *range(len(kept))])
    return call("reshape", out, shape=[q.size, *lead])


# ------------------------------------------------------------------------------------------------- counts


@symbolic_op
def bincount(x: TensorLike, weights: TensorLike = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    """How often each of 0, 1, ... occurs in x (in each row of it, if it has two dimensions).

    The length of the result is max(x) + 1, so x must have a value.

    Args:
        weights: in the shape of x; summed instead of counting.
        minlength: the least length of the result.

    Example:
        >>> ops.bincount([0, 2, 2])
        [1, 0, 2]
    """
    if sparse:
        raise NotImplementedError("ops.bincount(sparse=True) is not supported: there are no sparse tensors.")
    x = as_tensor(x)
    if x.dtype in FLOATS:
        raise TypeError(f"ops.bincount needs integers; received type {x.dtype}.")
    if x.ndim not in (1, 2):
        raise ValueError(f"ops.bincount needs a tensor of 1 or 2 dimensions; received shape {x.shape}.")
    value = host_value(x, "bincount", "gives a result as long as the largest element says")
    n = builtins.max(int(minlength), int(value.max()) + 1 if value.size else 0)
    given = call("full", value=1, shape=x.shape, dtype="int32") if weights is None else as_tensor(weights)
    if given.shape != x.shape:
        raise ValueError(f"Expected weights in the shape of x, {x.shape}; received {given.shape}.")
    if x.ndim == 2:
        rows = x.shape[0]
        offset = call("iota", shape=[rows, 1], axis=0, dtype="int32") * n
        x = call("cast", x, dtype="int32") + offset
        counts = _accumulate(rows * n, reshape(x, [x.size]), reshape(given, [x.size]))
        return call("reshape", counts, shape=[rows, n])
    return _accumulate(n, x, given)


def _accumulate(n: int, places: Tensor, values: Tensor) -> Tensor:
    zeros = call("full", value=0, shape=[n], dtype=values.dtype)
    return call("scatter_add", zeros, places, values, axis=0)


@symbolic_op
def histogram(
    x: TensorLike, bins: int | TensorLike = 10, range: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """Counts of the elements of x in bins, and the edges of the bins.

    Args:
        bins: how many bins of one width, or their edges (increasing; the last bin includes its upper edge).
        range: the outer edges; the smallest and largest element if None.
    """
    x = as_float(x)
    x = reshape(x, [x.size])
    if isinstance(bins, int):
        if bins < 1:
            raise ValueError(f"Expected at least 1 bin; received bins={bins}.")
        if range is not None:
            low, high = as_tensor_of(range[0], x.dtype), as_tensor_of(range[1], x.dtype)
            if not isinstance(range[0], Tensor) and range[0] > range[1]:
                raise ValueError(f"Expected range=(smaller, larger); received {range}.")
        elif x.size:
            low, high = reduce_min(x, [0]), reduce_max(x, [0])
        else:
            low, high = as_tensor_of(0.0, x.dtype), as_tensor_of(1.0, x.dtype)
        # All elements equal: a bin of width 1 around them.
        same = call("equal", low, high)
        low, high = call("where", same, low - 0.5, low), call("where", same, high + 0.5, high)
        t = _engine.tensor(np.linspace(0.0, 1.0, bins + 1), x.dtype)
        edges = low * (1.0 - t) + high * t
    else:
        edges = as_tensor_of(bins, x.dtype)
        bins = edges.shape[0] - 1
    place = _searchsorted(edges, x, "right")
    place = call("where", call("equal", x, edges[bins]), bins, place)
    # Places 0 and bins + 1 are outside; count them and drop them.
    counts = _accumulate(bins + 2, place, call("full", value=1, shape=x.shape, dtype=x.dtype))
    return cut(counts, 0, 1, bins + 1), edges


@symbolic_op
def unique(
    x: TensorLike,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: TensorLike = None,
) -> Any:
    """The distinct elements of x (or slices along `axis`), in ascending order.

    How many there are depends on the values, so x must have a value.

    Args:
        return_index: whether to return the position of the first occurrence of each.
        return_inverse: whether to return, for each element of x, its position in the result.
        return_counts: whether to return how often each occurs.
        size: the number to return: fewer are cut off, more are filled up with `fill_value` (the smallest
            element if None).

    Returns:
        The distinct elements, or a tuple of them and what was asked for besides (int32).
    """
    x = as_tensor(x)
    value = host_value(x, "unique", "gives as many results as there are distinct elements")
    if x.dtype == "bfloat16":
        value = value.astype(np.float32)
    found, index, inverse, counts = np.unique(
        value, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    if size is not None:
        found, index, counts = _resize_unique(found, index, counts, axis, size, fill_value)
    out = [as_tensor_of(np.ascontiguousarray(found), x.dtype)]
    for wanted, array in ((return_index, index), (return_inverse, inverse), (return_counts, counts)):
        if wanted:
            out.append(as_tensor(array.astype(np.int32)))
    return tuple(out) if len(out) > 1 else out[0]


def _resize_unique(
    found: np.ndarray, index: np.ndarray, counts: np.ndarray, axis: int | None, size: int, fill: TensorLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = 0 if axis is None else axis
    n = found.shape[axis]
    if n >= size:
        return np.take(found, np.arange(size), axis=axis), index[:size], counts[:size]
    extra = list(found.shape)
    extra[axis] = size - n
    if fill is None:
        filler = np.repeat(np.take(found, [0], axis=axis), size - n, axis=axis)
    else:
        filler = np.broadcast_to(np.asarray(fill, dtype=found.dtype), extra)
    found = np.concatenate([found, filler], axis=axis)
    index = np.concatenate([index, np.repeat(index[:1], size - n)])
    return found, index, np.concatenate([counts, np.zeros(size - n, counts.dtype)])


# -------------------------------------------------------------------------------------------- differences


@symbolic_op
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """The differences of neighbours along `axis`, taken n times."""
    x = as_tensor(a)
    if n < 0:
        raise ValueError(f"Expected n >= 0; received n={n}.")
    axis = canonical_axis(axis, x.ndim)
    for _ in builtins.range(n):
        size = x.shape[axis]
        later, earlier = cut(x, axis, builtins.min(1, size), size), cut(x, axis, 0, builtins.max(size - 1, 0))
        x = call("not_equal", later, earlier) if x.dtype == "bool" else later - earlier
    return x


@symbolic_op
def trapezoid(y: TensorLike, x: TensorLike = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The integral of y along `axis` by the trapezoidal rule.

    Args:
        x: where the values of y were taken, 1-D or in the shape of y; None means evenly, `dx` apart.
    """
    y = as_float(y)
    axis = canonical_axis(axis, y.ndim)
    n = y.shape[axis]
    if x is not None:
        x, y = same_dtype((as_float(x), y))
        if x.ndim == 1:
            lead = [1] * y.ndim
            lead[axis] = -1
            x = call("reshape", x, shape=lead)
        spacing: Any = cut(x, axis, 1, n) - cut(x, axis, 0, n - 1)
    else:
        spacing = operand(dx)
    heights = cut(y, axis, 1, n) + cut(y, axis, 0, n - 1)
    return reduce_sum(heights * spacing, [axis]) * 0.5


@symbolic_op
def corrcoef(x: TensorLike) -> Tensor:
    """The matrix of correlation coefficients between the rows of x."""
    x = as_float(x)
    if x.ndim > 2:
        raise ValueError(f"ops.corrcoef needs a tensor of at most 2 dimensions; received shape {x.shape}.")
    dtype = x.dtype
    rows = cast_to(
        reshape(x, [1, x.size]) if x.ndim < 2 else x, "float64" if dtype == "float64" else "float32"
    )
    n = rows.shape[1]
    centred = rows - reduce_sum(rows, [1], True) / float(n)
    covariance = call("matmul", centred, centred, transpose_b=True)
    deviation = call("sqrt", reduce_sum(centred * centred, [1]))
    m = rows.shape[0]
    out = covariance / call("reshape", deviation, shape=[m, 1]) / deviation
    out = cast_to(call("maximum", call("minimum", out, 1.0), -1.0), dtype)
    return call("reshape", out, shape=[]) if x.ndim < 2 else out


@symbolic_op
def correlate(x1: TensorLike, x2: TensorLike, mode: str = "valid") -> Tensor:
    """The cross-correlation of two 1-D tensors: c[k] = sum over n of x1[n + k] * x2[n].

    Args:
        mode: "valid" (complete overlap only), "same" (as long as the longer one) or "full".
    """
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"Expected mode to be 'valid', 'same' or 'full'; received {mode!r}.")
    x1, x2 = same_dtype((as_float(x1), as_float(x2)))
    if x1.ndim != 1 or x2.ndim != 1 or not x1.size or not x2.size:
        raise ValueError(
            f"ops.correlate needs two 1-D tensors with elements; received {x1.shape} and {x2.shape}."
        )
    if x1.size < x2.size:
        return call("reverse", _correlate(x2, x1, mode), axes=[0])
    return _correlate(x1, x2, mode)


def _correlate(long: Tensor, short: Tensor, mode: str) -> Tensor:
    n, m = long.size, short.size
    low = {"valid": 0, "same": m // 2, "full": m - 1}[mode]
    high = {"valid": 0, "same": m - 1 - m // 2, "full": m - 1}[mode]
    out = call(
        "conv",
        call("reshape", long, shape=[1, n, 1]),
        call("reshape", short, shape=[m, 1, 1]),
        strides=[1],
        pad_low=[low],
        pad_high=[high],
        dilations=[1],
    )
    return call("reshape", out, shape=[out.size])
