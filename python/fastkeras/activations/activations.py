"""The activation functions that are not ops of `ops.nn` as they are: other parameters, other defaults."""

from __future__ import annotations

from typing import Any

from fastkeras.ops._common import FLOATS, Tensor, TensorLike, as_float, as_tensor, call, symbolic_op


@symbolic_op
def relu(
    x: TensorLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """x where it is at least `threshold`, negative_slope * (x - threshold) below, limited to `max_value`.

    Args:
        x: a tensor.
        negative_slope: the slope below the threshold.
        max_value: the largest result; None for no limit.
        threshold: where the function starts to follow x.

    Example:
        >>> activations.relu([-10.0, 0.0, 10.0], max_value=5.0)
        [0.0, 0.0, 5.0]
    """
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            x = as_tensor(x)
            return call("relu", x) if x.dtype in FLOATS else call("maximum", x, 0)
        if max_value == 6:
            return call("relu6", as_float(x))
    x = as_float(x)
    if threshold == 0.0:
        out = (
            call("relu", x)
            if negative_slope == 0.0
            else call("leaky_relu", x, negative_slope=float(negative_slope))
        )
    else:
        below = (x - threshold) * negative_slope if negative_slope != 0.0 else 0.0
        out = call("where", call("greater", x, threshold), x, below)
    return out if max_value is None else call("minimum", out, max_value)


@symbolic_op
def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """x times the probability that a normal variable is below x.

    Args:
        x: a tensor.
        approximate: whether to use the tanh approximation instead of the error function.
    """
    return call("gelu", as_float(x), approximate=bool(approximate))


@symbolic_op
def exponential(x: TensorLike) -> Tensor:
    """e ** x."""
    return call("exp", as_float(x))


@symbolic_op
def mish(x: TensorLike) -> Tensor:
    """x * tanh(softplus(x))."""
    return call("mish", as_float(x))


def linear(x: Any) -> Any:
    """x as it is."""
    return x
