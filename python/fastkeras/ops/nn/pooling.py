"""Pooling over 1, 2 or 3 spatial dimensions: maxima and means of windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastkeras import _engine
from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    call,
    cast_to,
    reduce_max,
    symbolic_op,
)
from fastkeras.ops.nn.convolution import Sizes, channels_last, per_dimension, restore_channels, window_padding


@symbolic_op
def max_pool(
    inputs: TensorLike,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The maxima of windows.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) if channels come first.
        pool_size: the window, an int or one per spatial dimension.
        strides: the step of the window; `pool_size` if None.
        padding: "valid" for none, "same" for as much as keeps ceil(size / stride) positions.
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    return _pool("max_pool", as_tensor(inputs), pool_size, strides, padding, data_format)


@symbolic_op
def average_pool(
    inputs: TensorLike,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The means of windows; padding does not count.

    Args:
        inputs, pool_size, strides, padding, data_format: as for `max_pool`.
    """
    return _pool("avg_pool", as_float(inputs), pool_size, strides, padding, data_format)


def _pool(
    op: str, x: Tensor, pool_size: Sizes, strides: Sizes | None, padding: str, data_format: str | None
) -> Tensor:
    n = _spatial(x, op)
    window = per_dimension(pool_size, n, "pool_size")
    strides = window if strides is None else per_dimension(strides, n, "strides")
    x, first = channels_last(x, data_format)
    low, high = window_padding(padding, x.shape[1:-1], window, strides, [1] * n)
    dtype = x.dtype
    if dtype not in FLOATS:
        # The engine pools floating tensors; doubles hold every integer up to 53 bits exactly.
        x = call("cast", x, dtype="float64")
    out = call(op, x, window=window, strides=strides, pad_low=low, pad_high=high)
    return restore_channels(cast_to(out, dtype), first)


def _spatial(x: Tensor, op: str) -> int:
    if not 3 <= x.ndim <= 5:
        raise ValueError(
            f"ops.{op} needs a tensor of 3, 4 or 5 dimensions (batch, spatial ones, channels); "
            f"received shape {x.shape}."
        )
    return x.ndim - 2


@symbolic_op
def adaptive_average_pool(
    inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """The means of as many windows as the output has places, as equal in size as can be.

    Place i of a dimension of size n, of `output_size` places, is the mean of i * n / output_size (rounded
    down) to (i + 1) * n / output_size (rounded up).

    Args:
        inputs: (batch, *spatial, channels), or with channels first.
        output_size: how many places, an int or one per spatial dimension.
    """
    return _adaptive(as_float(inputs), output_size, data_format, "adaptive_average_pool")


@symbolic_op
def adaptive_max_pool(
    inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """The maxima of as many windows as the output has places; they are those of `adaptive_average_pool`."""
    return _adaptive(as_tensor(inputs), output_size, data_format, "adaptive_max_pool")


def _adaptive(x: Tensor, output_size: Sizes, data_format: str | None, op: str) -> Tensor:
    n = _spatial(x, op)
    sizes = per_dimension(output_size, n, "output_size")
    x, first = channels_last(x, data_format)
    for axis, places in enumerate(sizes, start=1):
        # One dimension after another: the windows are products of intervals.
        x = _adaptive_axis(x, axis, places, op == "adaptive_max_pool")
    return restore_channels(x, first)


def _adaptive_axis(x: Tensor, axis: int, places: int, largest: bool) -> Tensor:
    n = x.shape[axis]
    i = np.arange(places)
    starts, stops = (i * n) // places, -(-((i + 1) * n) // places)
    width = int((stops - starts).max())
    # Every window as wide as the widest: the last elements repeat, or have weight 0.
    index = np.minimum(starts[:, None] + np.arange(width), stops[:, None] - 1).astype(np.int32)
    windows = call("gather", x, _engine.tensor(index), axis=axis)
    if largest:
        return reduce_max(windows, [axis + 1])
    inside = np.arange(width) < (stops - starts)[:, None]
    weights = (inside / (stops - starts)[:, None]).reshape([places, width] + [1] * (x.ndim - axis - 1))
    return call("reduce_sum", windows * _engine.tensor(weights, x.dtype), axes=[axis + 1])
