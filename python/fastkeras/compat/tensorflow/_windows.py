"""Convolution and pooling with TF's arguments: strides and windows with or without batch and channels, layouts such as
"NHWC", and explicit paddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._shape import shape_arg

_SPATIAL = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def _channels_first(data_format: str | None, n: int, what: str) -> bool:
    last = _SPATIAL[n]
    first = "NC" + last[1:-1]
    if data_format in (None, last):
        return False
    if data_format != first:
        raise ValueError(
            f"tf.nn.{what} got data_format={data_format!r}. Expected {last!r} or {first!r} for {n} spatial dimension"
            f"{'s' if n > 1 else ''}."
        )
    return True


def _format(first: bool) -> str:
    return "channels_first" if first else "channels_last"


def _per_dimension(value: Any, n: int, first: bool, what: str) -> list[int]:
    """Sizes of the spatial dimensions from one number, n of them, or n + 2 with those of batch and channels."""
    sizes = [1] if value is None else shape_arg(value, what)
    if len(sizes) == 1:
        return sizes * n
    if len(sizes) == n:
        return sizes
    if len(sizes) == n + 2:
        others = [sizes[0], sizes[1] if first else sizes[-1]]
        if others == [1, 1]:
            return sizes[2:] if first else sizes[1:-1]
    raise ValueError(
        f"`{what}` is {value!r}. Expected one number, {n}, or {n + 2} with 1 for batch and channels. Pass e.g. "
        f"{[2] * n}."
    )


def _padded(x: Any, padding: Any, n: int, first: bool, what: str) -> tuple[Any, str]:
    """The input, padded already if the paddings are given as numbers, and the padding that is left to do."""
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(
                f"tf.nn.{what} got padding={padding!r}. Expected 'SAME', 'VALID', or a list of (before, after) for "
                "each dimension."
            )
        return x, padding.lower()
    pairs = [(0, 0)] if padding is None else [tuple(shape_arg(p, "padding")) for p in padding]
    if len(pairs) != n + 2:
        raise ValueError(
            f"tf.nn.{what} got padding={padding!r}. Expected 'SAME', 'VALID', or {n + 2} pairs (before, after), "
            "(0, 0) for batch and channels."
        )
    return ops.pad(x, pairs), "valid"


def _conv(
    op: Callable[..., Tensor],
    n: int,
    what: str,
    x: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str | None,
    dilations: Any,
) -> Tensor:
    first = _channels_first(data_format, n, what)
    x, padding = _padded(x, padding, n, first, what)
    return op(
        x,
        filters,
        _per_dimension(strides, n, first, "strides"),
        padding,
        data_format=_format(first),
        dilation_rate=_per_dimension(dilations, n, first, "dilations"),
    )


def conv1d(
    input: Any,
    filters: Any,
    stride: Any,
    padding: Any,
    data_format: str | None = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Convolution along one dimension; arguments as for `tf.nn.conv2d`."""
    return _conv(ops.conv, 1, "conv1d", input, filters, stride, padding, data_format, dilations)


def conv2d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Convolution of images.

    Args:
        input: (batch, height, width, channels), or as `data_format` says.
        filters: (height, width, channels in, channels out).
        strides: one number, two, or four with 1 for batch and channels.
        padding: "SAME", "VALID", or a list of four pairs of numbers.
        data_format: "NHWC" or "NCHW".
        dilations: the distance of the points of a window, given like the strides.
        name: unused.
    """
    return _conv(ops.conv, 2, "conv2d", input, filters, strides, padding, data_format, dilations)


def conv3d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Convolution of volumes; arguments as for `tf.nn.conv2d`."""
    return _conv(ops.conv, 3, "conv3d", input, filters, strides, padding, data_format, dilations)


def convolution(
    input: Any,
    filters: Any,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Convolution along as many dimensions as the input has besides batch and channels."""
    n = len(ops.shape(input)) - 2
    return _conv(ops.conv, n, "convolution", input, filters, strides, padding, data_format, dilations)


def atrous_conv2d(value: Any, filters: Any, rate: int, padding: Any, name: str | None = None) -> Tensor:
    """Convolution whose windows have gaps of `rate - 1` pixels."""
    return conv2d(value, filters, 1, padding, dilations=rate)


def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Convolution of each channel by itself; the filter is (height, width, channels, multiplier)."""
    args = (input, filter, strides, padding, data_format, dilations)
    return _conv(ops.depthwise_conv, 2, "depthwise_conv2d", *args)


def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """A depthwise convolution, then one of single pixels."""
    x = depthwise_conv2d(input, depthwise_filter, strides, padding, data_format, dilations)
    return conv2d(x, pointwise_filter, 1, "VALID", data_format or "NHWC")


# ------------------------------------------------------------------------------------------- transposed


def _transposed(
    n: int,
    what: str,
    x: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str,
    data_format: str | None,
    dilations: Any,
) -> Tensor:
    first = _channels_first(data_format, n, what)
    steps = _per_dimension(strides, n, first, "strides")
    spread = _per_dimension(dilations, n, first, "dilations")
    if not isinstance(padding, str) or padding.upper() not in ("SAME", "VALID"):
        raise ValueError(f"tf.nn.{what} got padding={padding!r}. Expected 'SAME' or 'VALID'.")
    shape = shape_arg(output_shape, "output_shape")
    wanted = shape if len(shape) == n else (shape[2:] if first else shape[1:-1])
    dims = ops.shape(x)
    sizes = dims[2:] if first else dims[1:-1]
    if padding.upper() == "SAME" and list(wanted) == [d * s for d, s in zip(sizes, steps)]:
        return ops.conv_transpose(x, filters, steps, "same", None, _format(first), spread)
    # What every input reaches, then the part of it that a convolution of the wanted size would have read.
    windows = [(k - 1) * d + 1 for k, d in zip(ops.shape(filters)[:n], spread)]
    full = [(d - 1) * s + k for d, s, k in zip(sizes, steps, windows)]
    low = [max(f - w, 0) // 2 if padding.upper() == "SAME" else 0 for f, w in zip(full, wanted)]
    for size, w, s, k in zip(sizes, wanted, steps, windows):
        fits = -(-w // s) if padding.upper() == "SAME" else -(-(w - k + 1) // s)
        if fits != size:
            raise ValueError(
                f"tf.nn.{what} got output_shape={shape} for an input of shape {tuple(dims)} with strides {steps} and "
                f"padding {padding!r}. Expected a size from which the convolution gives {size}, not {fits}. With "
                "'SAME', input size times stride always fits."
            )
    out = ops.conv_transpose(x, filters, steps, "valid", [0] * n, _format(first), spread)
    at = 2 if first else 1
    out = ops.pad(out, _around([(0, max(lo + w - f, 0)) for lo, w, f in zip(low, wanted, full)], at))
    keys = [slice(None)] * at + [slice(lo, lo + w) for lo, w in zip(low, wanted)]
    return ops.get_item(out, (*keys, Ellipsis))


def _around(pairs: list[tuple[int, int]], at: int) -> list[tuple[int, int]]:
    return [(0, 0)] * at + pairs + [(0, 0)] * (2 - at)


def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str | None = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose (gradient) of `tf.nn.conv1d`; arguments as for `tf.nn.conv2d_transpose`."""
    args = (input, filters, output_shape, strides, padding, data_format, dilations)
    return _transposed(1, "conv1d_transpose", *args)


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str | None = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose (gradient) of `tf.nn.conv2d`.

    Args:
        input: (batch, height, width, channels), or as `data_format` says.
        filters: (height, width, channels out, channels in).
        output_shape: the shape of the result: from it, the convolution would give that of the input.
        strides, dilations: as for the convolution.
        padding: "SAME" or "VALID".
        data_format: "NHWC" or "NCHW".
        name: unused.
    """
    args = (input, filters, output_shape, strides, padding, data_format, dilations)
    return _transposed(2, "conv2d_transpose", *args)


def conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str | None = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose (gradient) of `tf.nn.conv3d`; arguments as for `tf.nn.conv2d_transpose`."""
    args = (input, filters, output_shape, strides, padding, data_format, dilations)
    return _transposed(3, "conv3d_transpose", *args)


# ---------------------------------------------------------------------------------------------- pooling


def _pooling(
    op: Callable[..., Tensor], n: int | None, name: str, format: str | None
) -> Callable[..., Tensor]:
    called, default = name, format

    def adapter(
        input: Any,
        ksize: Any,
        strides: Any,
        padding: Any,
        data_format: str | None = default,
        name: str | None = None,
    ) -> Tensor:
        dims = len(ops.shape(input)) - 2 if n is None else n
        first = _channels_first(data_format, dims, called)
        if not isinstance(padding, str) and op is ops.max_pool:
            # What is added must not be the largest.
            pairs = [tuple(shape_arg(p, "padding")) for p in padding]
            input, padding = ops.pad(input, pairs, constant_values=-np.inf), "VALID"
        elif not isinstance(padding, str):
            raise ValueError(
                f"tf.nn.{called} got padding={padding!r}. Expected 'SAME' or 'VALID'. Use tf.pad first."
            )
        x, kind = _padded(input, padding, dims, first, called)
        window = _per_dimension(ksize, dims, first, "ksize")
        return op(x, window, _per_dimension(strides, dims, first, "strides"), kind, _format(first))

    adapter.__name__ = adapter.__qualname__ = called
    kind = "largest element" if op is ops.max_pool else "mean"
    adapter.__doc__ = (
        f"The {kind} of each window of size `ksize`, at distances of `strides`; padding is 'SAME' or 'VALID'."
    )
    return adapter


max_pool = _pooling(ops.max_pool, None, "max_pool", None)
max_pool1d = _pooling(ops.max_pool, 1, "max_pool1d", "NWC")
max_pool2d = _pooling(ops.max_pool, 2, "max_pool2d", "NHWC")
max_pool3d = _pooling(ops.max_pool, 3, "max_pool3d", "NDHWC")
avg_pool = _pooling(ops.average_pool, None, "avg_pool", None)
avg_pool1d = _pooling(ops.average_pool, 1, "avg_pool1d", "NWC")
avg_pool2d = _pooling(ops.average_pool, 2, "avg_pool2d", "NHWC")
avg_pool3d = _pooling(ops.average_pool, 3, "avg_pool3d", "NDHWC")
