"""Linear algebra. Norms are here; decompositions need kernels that the engine does not have yet."""

from __future__ import annotations

import math
from typing import Any

from fastkeras.ops._common import (
    Axes,
    Tensor,
    TensorLike,
    as_float,
    call,
    canonical_axes,
    cast_to,
    missing,
    reduce_max,
    reduce_min,
    reduce_sum,
    reshape,
    symbolic_op,
)


@symbolic_op
def norm(x: TensorLike, ord: Any = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """A norm of vectors or matrices.

    Args:
        ord: None for the square root of the sum of squares. For vectors, a number p (the p-norm; 0 counts the
            elements that are not 0) or +-inf (the largest or smallest magnitude). For matrices, "fro", 1, -1
            (sums of columns) or inf, -inf (sums of rows); "nuc", 2 and -2 need singular values and are missing.
        axis: an int for vectors, two for matrices; None for all of x (flattened if `ord` is None).

    Example:
        >>> ops.norm([3.0, 4.0])
        5.0
    """
    x = as_float(x)
    if axis is None:
        if ord is None:
            axes = list(range(x.ndim))
            return _root(reduce_sum(x * x, axes, keepdims))
        if x.ndim not in (1, 2):
            raise ValueError(f"A norm of order {ord!r} needs a vector or a matrix; received shape {x.shape}.")
    axes = canonical_axes(axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"Expected `axis` to name one or two dimensions; received axis={axis} for shape {x.shape}.")


def _root(squares: Tensor) -> Tensor:
    return call("sqrt", squares)


def _vector_norm(x: Tensor, ord: Any, axes: list[int], keepdims: bool) -> Tensor:
    if ord is None or ord == 2:
        return _root(reduce_sum(x * x, axes, keepdims))
    if isinstance(ord, str):
        raise ValueError(f"Expected `ord` of a vector norm to be a number; received {ord!r}.")
    size = call("abs", x)
    if ord == math.inf:
        return reduce_max(size, axes, keepdims)
    if ord == -math.inf:
        return reduce_min(size, axes, keepdims)
    if ord == 0:
        return reduce_sum(cast_to(call("not_equal", x, 0.0), x.dtype), axes, keepdims)
    if ord == 1:
        return reduce_sum(size, axes, keepdims)
    return call("power", reduce_sum(call("power", size, float(ord)), axes, keepdims), 1.0 / ord)


def _matrix_norm(x: Tensor, ord: Any, axes: list[int], keepdims: bool) -> Tensor:
    if ord is None or ord == "fro":
        return _root(reduce_sum(x * x, axes, keepdims))
    if ord in ("nuc", 2, -2):
        raise missing(f"ops.norm(ord={ord!r}) of a matrix", "It needs singular values.")
    row, column = axes
    if ord in (1, -1):
        summed, other = row, column
    elif ord in (math.inf, -math.inf):
        summed, other = column, row
    else:
        raise ValueError(f"Invalid order for a matrix norm: ord={ord!r}.")
    sums = reduce_sum(call("abs", x), [summed], True)
    out = reduce_max(sums, [other], True) if ord > 0 else reduce_min(sums, [other], True)
    return out if keepdims else reshape(out, [d for i, d in enumerate(x.shape) if i not in axes])
