"""Statistics of activations and normalization by them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from fastkeras.core import config
from fastkeras.ops._common import (
    FLOAT_MAX,
    HALVES,
    Axes,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    call,
    canonical_axes,
    canonical_axis,
    cast_to,
    count,
    reduce_max,
    reduce_sum,
    reshape,
    symbolic_op,
    with_ones,
)


@symbolic_op
def moments(
    x: TensorLike, axes: Axes, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """The mean and variance of x over `axes`; those of half-precision numbers are computed in float32.

    Args:
        synchronized: whether to compute them over all replicas of a distributed run.
    """
    if synchronized:
        raise NotImplementedError("ops.moments(synchronized=True) is not supported.")
    x = as_float(x)
    dtype = x.dtype
    axes = canonical_axes(axes, x.ndim, "axes")
    if dtype in HALVES:
        x = call("cast", x, dtype="float32")
    mean, variance = _moments(x, axes)
    if not keepdims:
        shape = [d for i, d in enumerate(x.shape) if i not in axes]
        mean, variance = reshape(mean, shape), reshape(variance, shape)
    if dtype in HALVES:
        # A float32 statistic may be out of the range of float16; its largest number serves better than
        # infinity.
        limit = FLOAT_MAX["float16"]
        mean, variance = (
            call("cast", call("minimum", call("maximum", s, -limit), limit), dtype=dtype)
            for s in (mean, variance)
        )
    return mean, variance


def _moments(x: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    scale = 1.0 / max(count([x.shape[a] for a in axes]), 1)
    mean = reduce_sum(x, axes, True) * scale
    centred = x - mean
    return mean, reduce_sum(centred * centred, axes, True) * scale


@symbolic_op
def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int,
    offset: TensorLike = None,
    scale: TensorLike = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with 1-D statistics along `axis`."""
    x, mean, variance = as_float(x), as_float(mean), as_float(variance)
    shape = [1] * x.ndim
    shape[canonical_axis(axis, x.ndim)] = -1
    factor = call("rsqrt", variance + epsilon)
    if scale is not None:
        factor = factor * as_tensor(scale)
    shift = -mean * factor
    if offset is not None:
        shift = shift + as_tensor(offset)
    # Factor and shift have one number per channel: x itself sees one multiplication and one addition.
    if shape[-1] != -1:
        factor, shift = call("reshape", factor, shape=shape), call("reshape", shift, shape=shape)
    return x * factor + shift


@symbolic_op
def layer_normalization(
    x: TensorLike,
    gamma: TensorLike = None,
    beta: TensorLike = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, with the statistics of x over `axis`.

    Half-precision numbers are computed in float32.

    Args:
        gamma, beta: in the shape of the dimensions `axis` of x; None leaves them out.
        epsilon: the configured one (1e-7) if None.
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise TypeError(
            f"ops.layer_normalization got unexpected keyword arguments: {', '.join(sorted(kwargs))}."
        )
    if epsilon is None:
        epsilon = config.epsilon()
    x = as_tensor(x)
    dtype = x.dtype
    work = "float64" if dtype == "float64" else "float32"
    x = cast_to(x, work)
    axes = sorted(canonical_axes(axis, x.ndim))
    gamma = None if gamma is None else as_tensor_of(gamma, work)
    beta = None if beta is None else as_tensor_of(beta, work)
    if rms_scaling:
        warnings.warn(
            "`rms_scaling=True` is deprecated: it divides by the standard deviation, not the root mean "
            "square. Use "
            "`ops.rms_normalization` instead.",
            stacklevel=3,
        )
        _, variance = _moments(x, axes)
        out = x * call("rsqrt", variance + epsilon)
        return cast_to(out if gamma is None else out * _spread(gamma, x, axes), dtype)
    if axes == [x.ndim - 1] and gamma is not None and beta is not None and gamma.ndim == beta.ndim == 1:
        return cast_to(call("layer_norm", x, gamma, beta, epsilon=float(epsilon)), dtype)
    mean, variance = _moments(x, axes)
    factor = call("rsqrt", variance + epsilon)
    if gamma is not None:
        factor = factor * _spread(gamma, x, axes)
    shift = -mean * factor
    if beta is not None:
        shift = shift + _spread(beta, x, axes)
    return cast_to(x * factor + shift, dtype)


def _spread(v: Tensor, x: Tensor, axes: list[int]) -> Tensor:
    """A parameter in the shape of dimensions `axes`, made to broadcast against x."""
    if v.ndim == x.ndim or axes == [x.ndim - 1]:
        return v
    return call("reshape", v, shape=with_ones(x.shape, [i for i in range(x.ndim) if i not in axes]))


@symbolic_op
def rms_normalization(
    x: TensorLike, scale: TensorLike = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Tensor:
    """x / sqrt(mean of x ** 2 over `axis` + epsilon) * scale, half-precision numbers computed in float32.

    Args:
        scale: broadcast against x; None leaves it out.
        epsilon: the configured one (1e-7) if None.
    """
    if epsilon is None:
        epsilon = config.epsilon()
    x = as_tensor(x)
    dtype = x.dtype
    work = "float64" if dtype == "float64" else "float32"
    x = cast_to(x, work)
    if x.ndim == 0:
        x = call("reshape", x, shape=[1])
    axes = canonical_axes(axis, x.ndim)
    mean_square = reduce_sum(x * x, axes, True) * (1.0 / max(count([x.shape[a] for a in axes]), 1))
    out = x * call("rsqrt", mean_square + epsilon)
    return cast_to(out if scale is None else out * as_tensor_of(scale, work), dtype)


@symbolic_op
def normalize(x: TensorLike, axis: Axes = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    """x divided by its norm along `axis`, or by `epsilon` where that is larger.

    Args:
        order: the exponent of the norm, an int >= 1.
        epsilon: the configured one (1e-7) if None.

    Example:
        >>> ops.normalize([3.0, 4.0])
        [0.6, 0.8]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1. Received: order={order}")
    x = as_float(x)
    if x.ndim == 0:
        x = call("reshape", x, shape=[1])
    if epsilon is None:
        epsilon = config.epsilon()
    axes = canonical_axes(axis, x.ndim)
    if order == 2:
        # The limit is inside the root: the gradient at 0 would be NaN otherwise.
        return x * call("rsqrt", call("maximum", reduce_sum(x * x, axes, True), epsilon * epsilon))
    size = call("abs", x)
    if order == 1:
        norm = reduce_sum(size, axes, True)
    else:
        # Scaled by the largest element, whose power may overflow.
        largest = reduce_max(size, axes, True)
        safe = call("where", call("equal", largest, 0.0), 1.0, largest)
        total = reduce_sum(call("power", size / safe, float(order)), axes, True)
        norm = largest * call("power", total, 1.0 / order)
    return x / call("maximum", norm, epsilon)


@symbolic_op
def psnr(x1: TensorLike, x2: TensorLike, max_val: float) -> Tensor:
    """The peak signal-to-noise ratio in decibels: 20 log10(max_val) - 10 log10(mean square error)."""
    x1, x2 = as_float(x1), as_float(x2)
    if x1.shape != x2.shape:
        raise ValueError(f"Input shapes {x1.shape} and {x2.shape} must match for PSNR calculation.")
    difference = x1 - x2
    error = reduce_sum(difference * difference, list(range(x1.ndim))) / float(max(x1.size, 1))
    return 20.0 * call("log10", as_tensor_of(max_val, x2.dtype)) - 10.0 * call("log10", error)
