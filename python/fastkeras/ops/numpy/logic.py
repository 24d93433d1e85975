"""Comparisons and logical functions; they return booleans and broadcast as in NumPy."""

from __future__ import annotations

from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_tensor,
    binary,
    call,
    cast_to,
    result_type,
    symbolic_op,
    unary,
)


@symbolic_op
def equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 == x2, element by element."""
    return binary("equal", x1, x2)


@symbolic_op
def not_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 != x2, element by element."""
    return binary("not_equal", x1, x2)


@symbolic_op
def less(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 < x2, element by element."""
    return binary("less", x1, x2)


@symbolic_op
def less_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 <= x2, element by element."""
    return binary("less_equal", x1, x2)


@symbolic_op
def greater(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 > x2, element by element."""
    return binary("greater", x1, x2)


@symbolic_op
def greater_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 >= x2, element by element."""
    return binary("greater_equal", x1, x2)


@symbolic_op
def logical_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Whether both are true (non-zero)."""
    return binary("logical_and", x1, x2)


@symbolic_op
def logical_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Whether at least one is true (non-zero)."""
    return binary("logical_or", x1, x2)


@symbolic_op
def logical_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Whether exactly one is true (non-zero)."""
    return binary("logical_xor", x1, x2)


@symbolic_op
def logical_not(x: TensorLike) -> Tensor:
    """Whether each element is false (zero)."""
    return unary("logical_not", x)


@symbolic_op
def isclose(
    x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether |x1 - x2| <= atol + rtol * |x2|; infinities are close to themselves only.

    Args:
        equal_nan: whether NaN counts as close to NaN.
    """
    return _isclose(x1, x2, rtol, atol, equal_nan)


@symbolic_op
def allclose(
    x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether all elements are close in the sense of `isclose`: a boolean scalar."""
    close = _isclose(x1, x2, rtol, atol, equal_nan)
    return call("reduce_min", close, axes=list(range(close.ndim)))


def _isclose(x1: TensorLike, x2: TensorLike, rtol: float, atol: float, equal_nan: bool) -> Tensor:
    x1, x2 = as_tensor(x1), as_tensor(x2)
    dtype = result_type(x1.dtype, x2.dtype)
    if dtype not in FLOATS:
        dtype = "float32"
    x1, x2 = cast_to(x1, dtype), cast_to(x2, dtype)
    near = call("less_equal", call("abs", x1 - x2), call("abs", x2) * rtol + atol)
    # inf - inf is NaN, and inf <= inf holds for every finite x1: both need the exact comparison.
    out = call("logical_or", call("logical_and", near, call("isfinite", x2)), call("equal", x1, x2))
    if equal_nan:
        out = call("logical_or", out, call("logical_and", call("isnan", x1), call("isnan", x2)))
    return out
