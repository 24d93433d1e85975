"""Reductions (sum, mean, max, ...) and running sums, with their NaN-ignoring forms.

`axis` is None (all dimensions), an int or a tuple of ints; `keepdims` leaves reduced dimensions with size 1.
Small integers and booleans are summed in int32 (or uint32); means of integers are floating; means and
variances of half-precision numbers are computed in float32.
"""

from __future__ import annotations

import math

from fastkeras.core import config
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.ops._common import (
    FLOATS,
    HALVES,
    SUM_DTYPE,
    Axes,
    DType,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    call,
    canonical_axes,
    canonical_axis,
    cast_to,
    count,
    operand,
    reduce_max,
    reduce_min,
    reduce_sum,
    reshape,
    result_type,
    symbolic_op,
    with_ones,
)


@symbolic_op
def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum of the elements along `axis`."""
    x = as_tensor(x)
    dtype = SUM_DTYPE.get(x.dtype)
    if dtype is not None:
        x = call("cast", x, dtype=dtype)
    return call("reduce_sum", x, axes=canonical_axes(axis, x.ndim), keepdims=keepdims)


@symbolic_op
def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False, dtype: DType = None) -> Tensor:
    """The product of the elements along `axis`, computed in `dtype` if given."""
    x = as_tensor(x)
    x = cast_to(x, SUM_DTYPE.get(x.dtype, x.dtype) if dtype is None else standardize_dtype(dtype))
    return call("reduce_prod", x, axes=canonical_axes(axis, x.ndim), keepdims=keepdims)


@symbolic_op
def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements along `axis`."""
    x = as_tensor(x)
    return cast_to(_mean(_wide(x), canonical_axes(axis, x.ndim), keepdims), _mean_dtype(x))


@symbolic_op
def var(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The variance of the elements along `axis` (the mean of the squared distances to the mean)."""
    x = as_tensor(x)
    return cast_to(_var(_wide(x), canonical_axes(axis, x.ndim), keepdims), _mean_dtype(x))


@symbolic_op
def std(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The standard deviation along `axis`: the square root of the variance."""
    x = as_tensor(x)
    return cast_to(call("sqrt", _var(_wide(x), canonical_axes(axis, x.ndim), keepdims)), _mean_dtype(x))


def _wide(x: Tensor) -> Tensor:
    """x in a type wide enough for statistics: float32, or float64 if it is that already."""
    return x if x.dtype in ("float32", "float64") else call("cast", x, dtype="float32")


def _mean_dtype(x: Tensor) -> str:
    return x.dtype if x.dtype in FLOATS else "float32"


def _mean(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    n = count([x.shape[a] for a in axes])
    return call("reduce_sum", x, axes=axes, keepdims=keepdims) / (float(n) if n else math.nan)


def _var(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    centred = x - _mean(x, axes, True)
    return _mean(centred * centred, axes, keepdims)


@symbolic_op
def average(x: TensorLike, axis: Axes = None, weights: TensorLike = None) -> Tensor:
    """The weighted mean along `axis`.

    Args:
        weights: in the shape of x, or 1-D along `axis` (then an int); None gives the plain mean.

    Example:
        >>> ops.average([1.0, 2.0, 4.0], weights=[2, 1, 1])
        2.0
    """
    x = as_tensor(x)
    if weights is None:
        x = x if x.dtype in FLOATS else call("cast", x, dtype=config.floatx())
        return cast_to(_mean(_wide(x), canonical_axes(axis, x.ndim), False), x.dtype)
    weights = as_tensor(weights)
    dtype = result_type(x.dtype, weights.dtype, 1.0)
    x, weights = cast_to(x, dtype), cast_to(weights, dtype)
    if weights.shape != x.shape:
        if not isinstance(axis, int):
            raise ValueError(
                f"Weights of shape {weights.shape} for x of shape {x.shape}: expected the shape of x, or one "
                f"dimension and an int `axis`; received axis={axis}."
            )
        axis = canonical_axis(axis, x.ndim)
        if weights.shape != (x.shape[axis],):
            raise ValueError(
                f"Expected {x.shape[axis]} weights along axis {axis}; received shape {weights.shape}."
            )
        lead = [1] * x.ndim
        lead[axis] = -1
        weights = call("broadcast_to", call("reshape", weights, shape=lead), shape=x.shape)
    axes = canonical_axes(axis, x.ndim)
    x, weights = (_wide(x), _wide(weights)) if dtype in HALVES else (x, weights)
    return cast_to(reduce_sum(x * weights, axes) / reduce_sum(weights, axes), dtype)


# ---------------------------------------------------------------------------------------------- extremes


@symbolic_op
def max(x: TensorLike, axis: Axes = None, keepdims: bool = False, initial: TensorLike = None) -> Tensor:
    """The largest element along `axis`, and not below `initial` if given; NaN if there is one."""
    return _extreme("max", x, axis, keepdims, initial)


@symbolic_op
def min(x: TensorLike, axis: Axes = None, keepdims: bool = False, initial: TensorLike = None) -> Tensor:
    """The smallest element along `axis`, and not above `initial` if given; NaN if there is one."""
    return _extreme("min", x, axis, keepdims, initial)


@symbolic_op
def amax(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element along `axis`; the same as `max`."""
    return _extreme("max", x, axis, keepdims, None)


@symbolic_op
def amin(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element along `axis`; the same as `min`."""
    return _extreme("min", x, axis, keepdims, None)


@symbolic_op
def ptp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The range along `axis`: the largest element minus the smallest."""
    return _extreme("max", x, axis, keepdims, None) - _extreme("min", x, axis, keepdims, None)


def _extreme(kind: str, x: TensorLike, axis: Axes, keepdims: bool, initial: TensorLike) -> Tensor:
    x = as_tensor(x)
    axes = canonical_axes(axis, x.ndim)
    if 0 in x.shape and 0 in [x.shape[a] for a in axes]:
        if initial is None:
            raise ValueError(
                f"The {kind} of no elements: x has shape {x.shape}, axis={axis}. Give `initial` to say what "
                "it is."
            )
        shape = with_ones(x.shape, axes) if keepdims else [d for i, d in enumerate(x.shape) if i not in axes]
        return call("broadcast_to", as_tensor_of(initial, x.dtype), shape=shape)
    out = call("reduce_" + kind, x, axes=axes, keepdims=keepdims)
    if initial is None:
        return out
    return cast_to(call(kind + "imum", out, operand(initial)), x.dtype)


@symbolic_op
def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int32) of the largest element along `axis`, or in the flattened x if it is None."""
    return _arg_extreme("argmax", as_tensor(x), axis, keepdims)


@symbolic_op
def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int32) of the smallest element along `axis`, or in the flattened x if it is None."""
    return _arg_extreme("argmin", as_tensor(x), axis, keepdims)


def _arg_extreme(op: str, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    shape = x.shape
    if axis is None:
        out = call(op, call("reshape", x, shape=[-1]), axis=0)
        return call("reshape", out, shape=[1] * len(shape)) if keepdims and shape else out
    axis = canonical_axis(axis, len(shape))
    out = call(op, x, axis=axis)
    return call("reshape", out, shape=with_ones(shape, [axis])) if keepdims else out


@symbolic_op
def all(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether all elements along `axis` are true (non-zero)."""
    x = _truth(x)
    return call("reduce_min", x, axes=canonical_axes(axis, x.ndim), keepdims=keepdims)


@symbolic_op
def any(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element along `axis` is true (non-zero)."""
    x = _truth(x)
    return call("reduce_max", x, axes=canonical_axes(axis, x.ndim), keepdims=keepdims)


@symbolic_op
def count_nonzero(x: TensorLike, axis: Axes = None) -> Tensor:
    """How many elements along `axis` are not zero (int32)."""
    x = _truth(x)
    return call("reduce_sum", call("cast", x, dtype="int32"), axes=canonical_axes(axis, x.ndim))


def _truth(x: TensorLike) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype == "bool" else call("not_equal", x, 0)


# ------------------------------------------------------------------------------------------ running sums


@symbolic_op
def cumsum(x: TensorLike, axis: int | None = None, dtype: DType = None) -> Tensor:
    """Running sums along `axis`, or over the flattened x if it is None."""
    return _cumulative("cumsum", as_tensor(x), axis, dtype)


@symbolic_op
def cumprod(x: TensorLike, axis: int | None = None, dtype: DType = None) -> Tensor:
    """Running products along `axis`, or over the flattened x if it is None."""
    return _cumulative("cumprod", as_tensor(x), axis, dtype)


def _cumulative(op: str, x: Tensor, axis: int | None, dtype: DType) -> Tensor:
    if dtype is not None:
        x = cast_to(x, standardize_dtype(dtype))
    elif x.dtype == "bool":
        x = call("cast", x, dtype="int32")
    if axis is None:
        return call(op, reshape(x, [-1] if x.ndim != 1 else x.shape), axis=0)
    return call(op, x, axis=canonical_axis(axis, x.ndim))


# ------------------------------------------------------------------------------------ NaN-ignoring forms


@symbolic_op
def nansum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum along `axis`, NaN counting as 0."""
    x = _replace_nan(as_tensor(x), 0.0)
    return reduce_sum(cast_to(x, SUM_DTYPE.get(x.dtype, x.dtype)), canonical_axes(axis, x.ndim), keepdims)


@symbolic_op
def nanprod(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The product along `axis`, NaN counting as 1."""
    x = _replace_nan(as_tensor(x), 1.0)
    x = cast_to(x, SUM_DTYPE.get(x.dtype, x.dtype))
    return call("reduce_prod", x, axes=canonical_axes(axis, x.ndim), keepdims=keepdims)


@symbolic_op
def nanmax(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element along `axis` that is not NaN; NaN if there is none."""
    x = as_tensor(x)
    axes = canonical_axes(axis, x.ndim)
    return _nan_where_empty(reduce_max(_replace_nan(x, -math.inf), axes, keepdims), x, axes, keepdims)


@symbolic_op
def nanmin(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element along `axis` that is not NaN; NaN if there is none."""
    x = as_tensor(x)
    axes = canonical_axes(axis, x.ndim)
    return _nan_where_empty(reduce_min(_replace_nan(x, math.inf), axes, keepdims), x, axes, keepdims)


@symbolic_op
def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the largest element along `axis` that is not NaN; -1 if there is none."""
    return _nan_arg_extreme("argmax", as_tensor(x), axis, keepdims, -math.inf)


@symbolic_op
def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the smallest element along `axis` that is not NaN; -1 if there is none."""
    return _nan_arg_extreme("argmin", as_tensor(x), axis, keepdims, math.inf)


@symbolic_op
def nanmean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements along `axis` that are not NaN."""
    x = as_tensor(x)
    return cast_to(_nanmean(_wide(x), canonical_axes(axis, x.ndim), keepdims), _mean_dtype(x))


@symbolic_op
def nanvar(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The variance of the elements along `axis` that are not NaN."""
    x = as_tensor(x)
    return cast_to(_nanvar(_wide(x), canonical_axes(axis, x.ndim), keepdims), _mean_dtype(x))


@symbolic_op
def nanstd(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The standard deviation of the elements along `axis` that are not NaN."""
    x = as_tensor(x)
    return cast_to(call("sqrt", _nanvar(_wide(x), canonical_axes(axis, x.ndim), keepdims)), _mean_dtype(x))


@symbolic_op
def nancumsum(x: TensorLike, axis: int | None = None, dtype: DType = None) -> Tensor:
    """Running sums along `axis`, NaN counting as 0."""
    return _cumulative("cumsum", _replace_nan(as_tensor(x), 0.0), axis, dtype)


@symbolic_op
def nancumprod(x: TensorLike, axis: int | None = None, dtype: DType = None) -> Tensor:
    """Running products along `axis`, NaN counting as 1."""
    return _cumulative("cumprod", _replace_nan(as_tensor(x), 1.0), axis, dtype)


def _replace_nan(x: Tensor, value: float) -> Tensor:
    return call("where", call("isnan", x), value, x) if x.dtype in FLOATS else x


def _nan_where_empty(out: Tensor, x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """`out` with NaN wherever every reduced element of x is NaN."""
    if x.dtype not in FLOATS:
        return out
    return call("where", reduce_min(call("isnan", x), axes, keepdims), math.nan, out)


def _nan_arg_extreme(op: str, x: Tensor, axis: int | None, keepdims: bool, worst: float) -> Tensor:
    if x.dtype not in FLOATS:
        return _arg_extreme(op, x, axis, keepdims)
    missing = call("isnan", x)
    out = _arg_extreme(op, call("where", missing, worst, x), axis, keepdims)
    empty = reduce_min(missing, canonical_axes(axis, x.ndim), keepdims)
    return call("where", empty, -1, out)


def _nanmean(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    present = call("cast", call("logical_not", call("isnan", x)), dtype=x.dtype)
    return reduce_sum(_replace_nan(x, 0.0), axes, keepdims) / reduce_sum(present, axes, keepdims)


def _nanvar(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    centred = x - _nanmean(x, axes, True)
    return _nanmean(centred * centred, axes, keepdims)
