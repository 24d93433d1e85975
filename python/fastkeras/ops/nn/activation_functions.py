"""Activation functions. They work on floating tensors, element by element unless an `axis` is named."""

from __future__ import annotations

from collections.abc import Sequence

from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    call,
    canonical_axes,
    canonical_axis,
    count,
    cut,
    iota,
    move_axes_last,
    reduce_sum,
    reshape,
    symbolic_op,
)


@symbolic_op
def relu(x: TensorLike) -> Tensor:
    """max(x, 0); keeps the type (booleans give int32)."""
    x = as_tensor(x)
    if x.dtype == "bool":
        x = call("cast", x, dtype="int32")
    return call("relu", x) if x.dtype in FLOATS else call("maximum", x, 0)


@symbolic_op
def relu6(x: TensorLike) -> Tensor:
    """min(max(x, 0), 6)."""
    return call("relu6", as_float(x))


@symbolic_op
def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x))."""
    return call("sigmoid", as_float(x))


@symbolic_op
def sparse_sigmoid(x: TensorLike) -> Tensor:
    """(x + 1) / 2 limited to [0, 1]."""
    x = (as_float(x) + 1.0) * 0.5
    return call("minimum", call("maximum", x, 0.0), 1.0)


@symbolic_op
def softplus(x: TensorLike) -> Tensor:
    """log(1 + exp(x)), a smooth max(x, 0)."""
    return call("softplus", as_float(x))


@symbolic_op
def softsign(x: TensorLike) -> Tensor:
    """x / (1 + |x|)."""
    return call("softsign", as_float(x))


@symbolic_op
def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by `threshold`, and 0 where it would cross it."""
    x = as_float(x)
    below = call("where", call("less", x, -threshold), x + threshold, 0.0)
    return call("where", call("greater", x, threshold), x - threshold, below)


@symbolic_op
def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x, and 0 where |x| <= threshold."""
    x = as_float(x)
    return call("where", call("greater", call("abs", x), threshold), x, 0.0)


@symbolic_op
def tanh_shrink(x: TensorLike) -> Tensor:
    """x - tanh(x)."""
    x = as_float(x)
    return x - call("tanh", x)


@symbolic_op
def threshold(x: TensorLike, threshold: float, default_value: float) -> Tensor:
    """x where it is above `threshold`, `default_value` elsewhere."""
    x = as_float(x)
    return call("where", call("greater", x, threshold), x, default_value)


@symbolic_op
def sparse_plus(x: TensorLike) -> Tensor:
    """0 below -1, x above 1, and (x + 1) ** 2 / 4 between."""
    x = as_float(x)
    middle = call("square", x + 1.0) * 0.25
    return call(
        "where", call("less_equal", x, -1.0), 0.0, call("where", call("greater_equal", x, 1.0), x, middle)
    )


@symbolic_op
def silu(x: TensorLike) -> Tensor:
    """x * sigmoid(x), also called swish."""
    return call("silu", as_float(x))


@symbolic_op
def swish(x: TensorLike) -> Tensor:
    """x * sigmoid(x); the same as `silu`."""
    return call("silu", as_float(x))


@symbolic_op
def squareplus(x: TensorLike, b: float = 4) -> Tensor:
    """(x + sqrt(x ** 2 + b)) / 2, a smooth max(x, 0)."""
    x = as_float(x)
    return (x + call("sqrt", x * x + float(b))) * 0.5


@symbolic_op
def log_sigmoid(x: TensorLike) -> Tensor:
    """log(sigmoid(x)), exact for large |x|."""
    return call("log_sigmoid", as_float(x))


@symbolic_op
def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Tensor:
    """x, and x * negative_slope where it is negative."""
    return call("leaky_relu", as_float(x), negative_slope=float(negative_slope))


@symbolic_op
def hard_sigmoid(x: TensorLike) -> Tensor:
    """x / 6 + 1 / 2 limited to [0, 1]."""
    return call("hard_sigmoid", as_float(x))


@symbolic_op
def hard_silu(x: TensorLike) -> Tensor:
    """x * hard_sigmoid(x), also called hard_swish."""
    return call("hard_silu", as_float(x))


@symbolic_op
def hard_swish(x: TensorLike) -> Tensor:
    """x * hard_sigmoid(x); the same as `hard_silu`."""
    return call("hard_silu", as_float(x))


@symbolic_op
def hard_tanh(x: TensorLike) -> Tensor:
    """x limited to [-1, 1]; keeps the type."""
    x = as_tensor(x)
    return call("hard_tanh", x) if x.dtype in FLOATS else call("minimum", call("maximum", x, -1), 1)


@symbolic_op
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x, and alpha * (exp(x) - 1) where it is negative."""
    return call("elu", as_float(x), alpha=float(alpha))


@symbolic_op
def selu(x: TensorLike) -> Tensor:
    """1.0507 * elu(x, 1.6733): keeps the mean and variance of its inputs through layers."""
    return call("selu", as_float(x))


@symbolic_op
def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)."""
    return call("celu", as_float(x), alpha=float(alpha))


@symbolic_op
def gelu(x: TensorLike, approximate: bool = True) -> Tensor:
    """x times the probability that a normal variable is below x.

    Args:
        approximate: whether to use the tanh approximation instead of the error function.
    """
    return call("gelu", as_float(x), approximate=bool(approximate))


@symbolic_op
def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """The first half of x along `axis` times the sigmoid of the second half.

    Raises:
        ValueError: if the size of that dimension is odd.
    """
    x = as_float(x)
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    if n % 2:
        raise ValueError(f"ops.glu needs an even size along axis {axis}; received shape {x.shape}.")
    return cut(x, axis, 0, n // 2) * call("sigmoid", cut(x, axis, n // 2, n))


@symbolic_op
def softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> Tensor:
    """exp(x) divided by its sum along `axis` (an int, several, or None for all dimensions)."""
    return _normalised("softmax", as_float(x), axis)


@symbolic_op
def log_softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> Tensor:
    """log(softmax(x, axis)), exact for small probabilities."""
    return _normalised("log_softmax", as_float(x), axis)


def _normalised(op: str, x: Tensor, axis: int | Sequence[int] | None) -> Tensor:
    if isinstance(axis, int):
        return call(op, x, axis=canonical_axis(axis, x.ndim))
    # Over several dimensions: over one, with those moved to the end and joined.
    axes = canonical_axes(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    moved = move_axes_last(x, axes)
    joined = reshape(moved, [*[x.shape[i] for i in rest], count([x.shape[a] for a in axes])])
    out = reshape(call(op, joined, axis=joined.ndim - 1), moved.shape)
    perm = [*rest, *axes]
    if perm == list(range(x.ndim)):
        return out
    return call("transpose", out, perm=[perm.index(i) for i in range(x.ndim)])


@symbolic_op
def sparsemax(x: TensorLike, axis: int = -1) -> Tensor:
    """The point of the probability simplex nearest to x along `axis`: like softmax, with exact zeros."""
    x = as_float(x)
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    ordered = call("reverse", call("sort", x, axis=axis), axes=[axis])
    running = call("cumsum", ordered, axis=axis)
    lead = [1] * x.ndim
    lead[axis] = n
    rank = call("reshape", call("cast", iota(n) + 1, dtype=x.dtype), shape=lead)
    # The largest k whose k largest elements stay positive after the shift that makes them sum to 1.
    support = call("greater", ordered * rank + 1.0, running)
    k = reduce_sum(call("cast", support, dtype=x.dtype), [axis], True)
    total = reduce_sum(call("where", support, ordered, 0.0), [axis], True)
    return call("maximum", x - (total - 1.0) / k, 0.0)
