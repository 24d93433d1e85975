"""Tensors made of numbers and shapes: constants, ranges, identity matrices, windows and grids."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

import numpy as np

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.ops._common import (
    FLOATS,
    SUM_DTYPE,
    DType,
    Function,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    broadcast,
    call,
    canonical_axis,
    canonical_shape,
    cast_to,
    cut,
    dtype_or_floatx,
    host_value,
    iota,
    join,
    reshape,
    result_type,
    same_dtype,
    symbolic_op,
)


def zeros(shape: Sequence[int] | int, dtype: DType = None) -> Tensor:
    """A tensor of zeros, of the default float type unless `dtype` says otherwise."""
    return call("full", value=0, shape=canonical_shape(shape), dtype=dtype_or_floatx(dtype))


def ones(shape: Sequence[int] | int, dtype: DType = None) -> Tensor:
    """A tensor of ones, of the default float type unless `dtype` says otherwise."""
    return call("full", value=1, shape=canonical_shape(shape), dtype=dtype_or_floatx(dtype))


def empty(shape: Sequence[int] | int, dtype: DType = None) -> Tensor:
    """A tensor whose values do not matter (they are zeros)."""
    return call("full", value=0, shape=canonical_shape(shape), dtype=dtype_or_floatx(dtype))


@symbolic_op
def full(shape: Sequence[int] | int, fill_value: TensorLike, dtype: DType = None) -> Tensor:
    """A tensor filled with `fill_value` (broadcast to the shape), of the default float type or `dtype`."""
    return _full(canonical_shape(shape), fill_value, dtype_or_floatx(dtype))


@symbolic_op
def zeros_like(x: TensorLike, dtype: DType = None) -> Tensor:
    """Zeros in the shape of x, and of its type unless `dtype` is given."""
    x = as_tensor(x)
    return call("full", value=0, shape=x.shape, dtype=x.dtype if dtype is None else standardize_dtype(dtype))


@symbolic_op
def ones_like(x: TensorLike, dtype: DType = None) -> Tensor:
    """Ones in the shape of x, and of its type unless `dtype` is given."""
    x = as_tensor(x)
    return call("full", value=1, shape=x.shape, dtype=x.dtype if dtype is None else standardize_dtype(dtype))


@symbolic_op
def empty_like(x: TensorLike, dtype: DType = None) -> Tensor:
    """A tensor in the shape of x whose values do not matter (they are zeros)."""
    x = as_tensor(x)
    return call("full", value=0, shape=x.shape, dtype=x.dtype if dtype is None else standardize_dtype(dtype))


@symbolic_op
def full_like(x: TensorLike, fill_value: TensorLike, dtype: DType = None) -> Tensor:
    """A tensor filled with `fill_value`, in the shape of x, and of its type unless `dtype` is given."""
    x = as_tensor(x)
    return _full(x.shape, fill_value, x.dtype if dtype is None else standardize_dtype(dtype))


def _full(shape: Sequence[int], value: TensorLike, dtype: str) -> Tensor:
    if isinstance(value, (bool, int, float)):
        return call("full", value=value, shape=list(shape), dtype=dtype)
    return broadcast(as_tensor_of(value, dtype), shape)


@symbolic_op
def array(x: TensorLike, dtype: DType = None) -> Tensor:
    """Makes a tensor of x, of its own type unless `dtype` is given."""
    return as_tensor(x) if dtype is None else as_tensor_of(x, standardize_dtype(dtype))


@symbolic_op
def copy(x: TensorLike) -> Tensor:
    """x as a tensor; tensors never change, so there is nothing to copy."""
    return as_tensor(x)


# ------------------------------------------------------------------------------------------------ ranges


def arange(
    start: TensorLike, stop: TensorLike = None, step: TensorLike = None, dtype: DType = None
) -> Tensor:
    """start, start + step, ... below stop; with one argument, 0, 1, ... below it.

    The arguments must be numbers, or tensors that have a value: the length of the result depends on them.

    Args:
        dtype: the type of the result; the promoted type of the arguments (whole numbers: int32) if None.

    Example:
        >>> ops.arange(3)
        [0, 1, 2]
        >>> ops.arange(1.0, 2.0, 0.5)
        [1.0, 1.5]
    """
    given = [v for v in (start, stop, step) if v is not None]
    if dtype is None:
        types = set(map(_range_type, given))
        if types == {int}:
            dtype = "int32"
        elif types <= {int, float}:
            dtype = config.floatx()
        else:
            dtype = result_type(*types)
    else:
        dtype = standardize_dtype(dtype)
    first, last, by = (_host_number(v) for v in (start, stop, 1 if step is None else step))
    if last is None:
        first, last = 0, first
    if by == 0:
        raise ValueError("ops.arange needs a step other than 0.")
    n = builtins.max(0, math.ceil((last - first) / by))
    if isinstance(first, int) and isinstance(by, int) and dtype not in FLOATS:
        out = iota(n, dtype)
        if by != 1:
            out = out * by
        return out + first if first else out
    return _engine.tensor(np.arange(n) * by + first, dtype)


def _range_type(x: TensorLike) -> object:
    if isinstance(x, (bool, int)):
        return int
    if isinstance(x, float):
        return float
    return x.dtype if isinstance(getattr(x, "dtype", None), str) else standardize_dtype(np.asarray(x).dtype)


def _host_number(x: TensorLike) -> int | float | None:
    if x is None or isinstance(x, (int, float)):
        return x
    return host_value(x, "arange", "gives a range as long as its arguments say").item()


@symbolic_op
def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType = None,
    axis: int = 0,
) -> Tensor | tuple[Tensor, Tensor]:
    """`num` evenly spaced numbers from start to stop.

    Args:
        start, stop: numbers, or tensors that broadcast; the numbers then run along a new dimension, `axis`.
        endpoint: whether `stop` is the last number.
        retstep: whether to return the spacing as well.

    Example:
        >>> ops.linspace(0.0, 1.0, 5)
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    out, step, target = _linspace(start, stop, num, endpoint, dtype, axis)
    if dtype is not None and target not in FLOATS:
        out = call("floor", out)
    out = cast_to(out, target)
    return (out, step) if retstep else out


def _linspace(
    start: TensorLike, stop: TensorLike, num: int, endpoint: bool, dtype: DType, axis: int
) -> tuple[Tensor, Tensor, str]:
    """The numbers in a floating type, their spacing, and the type the caller asked for."""
    if num < 0:
        raise ValueError(f"Expected num >= 0 numbers; received num={num}.")
    start, stop = same_dtype((as_float(start), as_float(stop)))
    target = start.dtype if dtype is None else standardize_dtype(dtype)
    work = target if target in FLOATS else start.dtype
    wide = "float64" if work == "float64" else "float32"
    start, stop = cast_to(start, wide), cast_to(stop, wide)
    gaps = num - 1 if endpoint else num
    difference = stop - start
    step = difference / gaps if gaps > 0 else difference * math.nan
    shape = difference.shape
    axis = canonical_axis(axis, len(shape) + 1)
    ones_shape = [1] * (len(shape) + 1)
    ones_shape[axis] = num
    along = [*shape[:axis], 1, *shape[axis:]]
    full_shape = [*shape[:axis], num, *shape[axis:]]
    # t from 0 to 1; start (1 - t) + stop t is exact at both ends.
    t = _engine.tensor((np.arange(num) / builtins.max(gaps, 1)).reshape(ones_shape), wide)
    start, stop = reshape(broadcast(start, shape), along), reshape(broadcast(stop, shape), along)
    return cast_to(broadcast(start * (1.0 - t) + stop * t, full_shape), work), cast_to(step, work), target


@symbolic_op
def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: TensorLike = 10,
    dtype: DType = None,
    axis: int = 0,
) -> Tensor:
    """base ** linspace(start, stop, num): numbers evenly spaced on a logarithmic scale."""
    exponents, _, target = _linspace(start, stop, num, endpoint, None, axis)
    target = target if dtype is None else standardize_dtype(dtype)
    base = base if isinstance(base, (int, float)) else cast_to(as_tensor(base), exponents.dtype)
    return cast_to(call("power", float(base) if isinstance(base, int) else base, exponents), target)


@symbolic_op
def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DType = None,
    axis: int = 0,
) -> Tensor:
    """`num` numbers from start to stop, each a constant multiple of the one before.

    `start` and `stop` must have the same sign and not be 0.
    """
    start, stop = same_dtype((as_float(start), as_float(stop)))
    target = start.dtype if dtype is None else standardize_dtype(dtype)
    sign = call("sign", start)
    low, high = call("log10", start * sign), call("log10", stop * sign)
    exponents, _, _ = _linspace(low, high, num, endpoint, None, axis)
    shape = (low - high).shape
    axis = canonical_axis(axis, len(shape) + 1)
    lead = [*shape[:axis], 1, *shape[axis:]]
    first = reshape(broadcast(start, shape), lead)
    out = call("power", 10.0, exponents) * reshape(broadcast(sign, shape), lead)
    # The ends are given numbers: put them in exactly instead of their rounded powers.
    n = out.shape[axis]
    if n > 0:
        parts = [first]
        inner_stop = n - 1 if endpoint and n > 1 else n
        if inner_stop > 1:
            parts.append(cut(out, axis, 1, inner_stop))
        if endpoint and n > 1:
            parts.append(reshape(broadcast(stop, shape), lead))
        out = join(parts, axis)
    return cast_to(out, target)


# --------------------------------------------------------------------------------------------- matrices


def eye(N: int, M: int | None = None, k: int = 0, dtype: DType = None) -> Tensor:  # noqa: N803 - Keras' names
    """An N x M matrix with ones on diagonal `k` and zeros elsewhere."""
    return cast_to(_diagonal_mask(int(N), int(N if M is None else M), "equal", k), dtype_or_floatx(dtype))


def identity(n: int, dtype: DType = None) -> Tensor:
    """The n x n identity matrix."""
    return cast_to(_diagonal_mask(int(n), int(n), "equal", 0), dtype_or_floatx(dtype))


def tri(N: int, M: int | None = None, k: int = 0, dtype: DType = None) -> Tensor:  # noqa: N803
    """An N x M matrix with ones on and below diagonal `k` and zeros above."""
    return cast_to(
        _diagonal_mask(int(N), int(N if M is None else M), "less_equal", k), dtype_or_floatx(dtype)
    )


@symbolic_op
def tril(x: TensorLike, k: int = 0) -> Tensor:
    """x with zeros above diagonal `k` of its last two dimensions."""
    x = _matrix(x, "tril")
    return call("where", _diagonal_mask(x.shape[-2], x.shape[-1], "less_equal", k), x, _zero(x))


@symbolic_op
def triu(x: TensorLike, k: int = 0) -> Tensor:
    """x with zeros below diagonal `k` of its last two dimensions."""
    x = _matrix(x, "triu")
    return call("where", _diagonal_mask(x.shape[-2], x.shape[-1], "greater_equal", k), x, _zero(x))


def _matrix(x: TensorLike, op: str) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"ops.{op} needs a tensor of at least 2 dimensions; received shape {x.shape}.")
    return x


def _zero(x: Tensor) -> int | bool:
    return False if x.dtype == "bool" else 0


def _diagonal_mask(rows: int, columns: int, comparison: str, k: int) -> Tensor:
    """Booleans: `column - row <comparison> k` of a rows x columns matrix."""
    row = call("iota", shape=[rows, 1], axis=0, dtype="int32")
    column = call("iota", shape=[1, columns], axis=1, dtype="int32")
    return call(comparison, column, row + k if k else row)


@symbolic_op
def diag(x: TensorLike, k: int = 0) -> Tensor:
    """A matrix with x on diagonal `k` if x has one dimension, diagonal `k` of x if it has two."""
    x = as_tensor(x)
    if x.ndim == 1:
        return _diagonal_matrix(x, k)
    if x.ndim == 2:
        return _diagonal(x, k)
    raise ValueError(f"ops.diag needs a tensor of 1 or 2 dimensions; received shape {x.shape}.")


@symbolic_op
def diagflat(x: TensorLike, k: int = 0) -> Tensor:
    """A matrix with the elements of x, in order, on diagonal `k`."""
    return _diagonal_matrix(reshape(as_tensor(x), [-1]), k)


@symbolic_op
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Diagonal `offset` of the matrices in dimensions axis1 and axis2; it becomes the last dimension."""
    return _diagonal_of(as_tensor(x), offset, axis1, axis2)


@symbolic_op
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of diagonal `offset` of the matrices in dimensions axis1 and axis2."""
    d = _diagonal_of(as_tensor(x), offset, axis1, axis2)
    return call("reduce_sum", cast_to(d, SUM_DTYPE.get(d.dtype, d.dtype)), axes=[d.ndim - 1])


def _diagonal_matrix(x: Tensor, k: int) -> Tensor:
    n = x.shape[0] + builtins.abs(k)
    if k:
        # Element i sits in row i (k > 0) or column i (k < 0): pad along that side, then mask.
        x = call("pad", x, low=[0], high=[builtins.abs(k)])
    x = call("reshape", x, shape=[n, 1] if k >= 0 else [1, n])
    return call("where", _diagonal_mask(n, n, "equal", k), x, _zero(x))


def _diagonal_of(x: Tensor, offset: int, axis1: int, axis2: int) -> Tensor:
    if x.ndim < 2:
        raise ValueError(f"A diagonal needs a tensor of at least 2 dimensions; received shape {x.shape}.")
    axis1, axis2 = canonical_axis(axis1, x.ndim, "axis1"), canonical_axis(axis2, x.ndim, "axis2")
    if axis1 == axis2:
        raise ValueError(f"axis1 and axis2 must be two different dimensions; both are {axis1}.")
    rest = [i for i in range(x.ndim) if i not in (axis1, axis2)]
    perm = [*rest, axis1, axis2]
    return _diagonal(x if perm == list(range(x.ndim)) else call("transpose", x, perm=perm), offset)


def _diagonal(x: Tensor, k: int) -> Tensor:
    """Diagonal k of the last two dimensions: every (columns + 1)-th element of the flattened matrix."""
    rows, columns = x.shape[-2:]
    n = builtins.max(0, builtins.min(rows, columns - k) if k >= 0 else builtins.min(rows + k, columns))
    flat = call("reshape", x, shape=[*x.shape[:-2], rows * columns])
    first = builtins.min(k if k >= 0 else -k * columns, rows * columns)
    last = first + (n - 1) * (columns + 1) + 1 if n else first
    return cut(flat, flat.ndim - 1, first, last, columns + 1) if n else cut(flat, flat.ndim - 1, first, first)


@symbolic_op
def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803
    """The matrix of powers of x: column j is x ** (N - 1 - j), or x ** j if `increasing`."""
    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError(f"ops.vander needs a tensor of 1 dimension; received shape {x.shape}.")
    n = x.shape[0] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    powers = _engine.tensor(np.ascontiguousarray(powers), x.dtype if x.dtype != "bool" else "int32")
    return call("power", call("reshape", x, shape=[-1, 1]), call("reshape", powers, shape=[1, -1]))


@symbolic_op
def meshgrid(*x: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids: result i holds the 1-D x[i] along its own dimension, repeated along the others.

    Args:
        indexing: "ij" to order the dimensions as the arguments, "xy" to swap the first two.

    Example:
        >>> ops.meshgrid([1, 2], [3, 4, 5])
        [[[1, 2], [1, 2], [1, 2]], [[3, 3], [4, 4], [5, 5]]]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Expected indexing to be 'xy' or 'ij'; received {indexing!r}.")
    tensors = [reshape(as_tensor(t), [-1]) for t in x]
    n = len(tensors)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[0], order[1] = 1, 0
    shape = [0] * n
    for t, axis in zip(tensors, order, strict=True):
        shape[axis] = t.shape[0]
    grids = []
    for t, axis in zip(tensors, order, strict=True):
        lead = [1] * n
        lead[axis] = -1
        grids.append(broadcast(call("reshape", t, shape=lead), shape))
    return grids


# ----------------------------------------------------------------------------------------------- windows


def bartlett(x: TensorLike) -> Tensor:
    """The Bartlett (triangular) window of x points."""
    return _window("bartlett", np.bartlett, x)


def blackman(x: TensorLike) -> Tensor:
    """The Blackman window of x points."""
    return _window("blackman", np.blackman, x)


def hamming(x: TensorLike) -> Tensor:
    """The Hamming window of x points."""
    return _window("hamming", np.hamming, x)


def hanning(x: TensorLike) -> Tensor:
    """The Hann window of x points."""
    return _window("hanning", np.hanning, x)


def kaiser(x: TensorLike, beta: float) -> Tensor:
    """The Kaiser window of x points and shape parameter `beta`."""
    return _window("kaiser", lambda n: np.kaiser(n, float(beta)), x)


def _window(op: str, make: Function, x: TensorLike) -> Tensor:
    n = x if isinstance(x, int) else int(host_value(x, op, "gives x numbers").item())
    return _engine.tensor(make(n), config.floatx())
