"""Linear algebra: norms, and the derivative of a function along a direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.ops._common import (
    FLOATS,
    Axes,
    Function,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
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
            (sums of columns) or inf, -inf (sums of rows); "nuc", 2 and -2 need singular values and are
            missing.
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
    raise ValueError(
        f"Expected `axis` to name one or two dimensions; received axis={axis} for shape {x.shape}."
    )


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


def jvp(fun: Function, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """The value of a function and its derivative along a direction (a Jacobian-vector product).

    Args:
        fun: a function of tensors (or structures of them) that returns a tensor or a structure of tensors;
            with `has_aux`, a pair of that and anything else.
        primals: a tuple or list with the arguments.
        tangents: the direction, in the structure of `primals`.
        has_aux: whether `fun` returns a pair.

    Returns:
        The value and the derivative, and the second part of what `fun` returned if `has_aux`.

    Example:
        >>> ops.jvp(ops.sin, (0.0,), (2.0,))
        (0.0, 2.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp needs tuples or lists of primals and tangents.")
    points = [as_tensor(p) for p in tree.flatten(primals)]
    directions = [as_tensor_of(d, p.dtype) for p, d in zip(points, tree.flatten(tangents), strict=True)]
    for point, direction in zip(points, directions, strict=True):
        if point.shape != direction.shape:
            raise ValueError(f"A tangent of shape {direction.shape} for a primal of shape {point.shape}.")
    with _engine.Tape():  # `fun` may ask for values
        result = fun(*tree.pack_sequence_as(primals, points))
        out, aux = result if has_aux else (result, None)
        values = [as_tensor(v) for v in tree.flatten(out)]
        # The reverse derivative is linear in the weights of the outputs; its own reverse derivative with respect
        # to them, along the direction, is the forward derivative.
        weights = [_engine.tensor(np.zeros(v.shape), v.dtype) for v in values]
        pulled = _engine.gradients(values, points, weights)
        used = [
            (g, d)
            for g, d, p in zip(pulled, directions, points, strict=True)
            if g is not None and p.dtype in FLOATS
        ]
        if used:
            pushed = _engine.gradients([g for g, _ in used], weights, [d for _, d in used])
        else:
            pushed = [None] * len(values)
    moved = [w if t is None else t for t, w in zip(pushed, weights, strict=True)]
    derivative = tree.pack_sequence_as(out, moved)
    return (out, derivative, aux) if has_aux else (out, derivative)
