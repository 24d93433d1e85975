"""Convolutions of 1, 2 or 3 spatial dimensions.

The engine convolves channels-last tensors with explicit padding; here "same" and "valid" become numbers and
"channels_first" becomes a transposition on the way in and out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastkeras.core import config
from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_tensor,
    call,
    cast_to,
    same_dtype,
    symbolic_op,
)

Sizes = int | Sequence[int]


@symbolic_op
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """Convolves inputs with a kernel.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) if channels come first.
        kernel: (*window, channels / groups, filters); fewer channels than the inputs have make groups.
        strides: the step of the window, an int or one per spatial dimension.
        padding: "valid" for none, "same" for as much as keeps ceil(size / stride) positions.
        data_format: "channels_last" or "channels_first"; the configured default if None.
        dilation_rate: the distance between the points of the window.

    Returns:
        (batch, *positions, filters), or with channels first.
    """
    x, kernel, first = _operands(inputs, kernel, data_format, "conv")
    return _restore(_conv(x, kernel, strides, padding, dilation_rate), first)


def _conv(x: Tensor, kernel: Tensor, strides: Sizes, padding: str, dilation: Sizes) -> Tensor:
    n = x.ndim - 2
    channels, per_group = x.shape[-1], kernel.shape[-2]
    if per_group == 0 or channels % per_group:
        raise ValueError(
            "The number of input channels must be evenly divisible by kernel's in_channels. Received input "
            "channels "
            f"{channels} and kernel in_channels {per_group} (kernel shape {kernel.shape})."
        )
    groups = channels // per_group
    if kernel.shape[-1] % groups:
        raise ValueError(
            f"The number of filters must be divisible by the number of groups. Received {kernel.shape[-1]} "
            "filters "
            f"and {channels} / {per_group} = {groups} groups."
        )
    strides, dilation = per_dimension(strides, n, "strides"), per_dimension(dilation, n, "dilation_rate")
    low, high = window_padding(padding, x.shape[1:-1], kernel.shape[:-2], strides, dilation)
    return call(
        "conv",
        x,
        kernel,
        strides=strides,
        pad_low=low,
        pad_high=high,
        dilations=dilation,
        groups=groups,
    )


@symbolic_op
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """Convolves every channel with kernels of its own.

    Args:
        inputs: (batch, *spatial, channels), or with channels first.
        kernel: (*window, channels, multiplier).
        strides, padding, data_format, dilation_rate: as for `conv`.

    Returns:
        (batch, *positions, channels * multiplier), or with channels first.
    """
    x, kernel, first = _operands(inputs, kernel, data_format, "depthwise_conv")
    return _restore(_depthwise(x, kernel, strides, padding, dilation_rate), first)


def _depthwise(x: Tensor, kernel: Tensor, strides: Sizes, padding: str, dilation: Sizes) -> Tensor:
    channels, multiplier = kernel.shape[-2:]
    if x.shape[-1] != channels:
        raise ValueError(
            f"A depthwise kernel of shape {kernel.shape} is for {channels} channels; the inputs have "
            f"{x.shape[-1]}."
        )
    kernel = call("reshape", kernel, shape=[*kernel.shape[:-2], 1, channels * multiplier])
    return _conv(x, kernel, strides, padding, dilation)


@symbolic_op
def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """A depthwise convolution, then one with windows of size 1 that mixes the channels.

    Args:
        inputs: (batch, *spatial, channels), or with channels first.
        depthwise_kernel: (*window, channels, multiplier).
        pointwise_kernel: (*ones, channels * multiplier, filters).
        strides, padding, data_format, dilation_rate: as for `conv`.
    """
    x, depthwise_kernel, first = _operands(inputs, depthwise_kernel, data_format, "separable_conv")
    x = _depthwise(x, depthwise_kernel, strides, padding, dilation_rate)
    x, pointwise_kernel = same_dtype((x, pointwise_kernel))
    return _restore(_conv(x, pointwise_kernel, 1, "valid", 1), first)


@symbolic_op
def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """The transpose of a convolution: every input position adds a kernel to the output.

    Args:
        inputs: (batch, *spatial, channels), or with channels first.
        kernel: (*window, filters, channels).
        strides, padding, data_format, dilation_rate: of the convolution it is the transpose of.
        output_padding: how much longer the output is at the end of each dimension than it need be; None makes
            it size * stride ("same"), or that plus what the window sticks out ("valid").

    Returns:
        (batch, *positions, filters), or with channels first.
    """
    x, kernel, first = _operands(inputs, kernel, data_format, "conv_transpose")
    n = x.ndim - 2
    if x.shape[-1] != kernel.shape[-1]:
        raise ValueError(
            f"A transposed kernel of shape {kernel.shape} is for {kernel.shape[-1]} channels (its last "
            "dimension); "
            f"the inputs have {x.shape[-1]}."
        )
    strides, dilation = per_dimension(strides, n, "strides"), per_dimension(dilation_rate, n, "dilation_rate")
    extra = [None] * n if output_padding is None else per_dimension(output_padding, n, "output_padding")
    sizes, lows, highs, tails = [], [], [], []
    for d, k, s, dil, more in zip(x.shape[1:-1], kernel.shape[:-2], strides, dilation, extra, strict=True):
        size, low, high, tail = _transposed_size(d, (k - 1) * dil + 1, s, padding, more)
        sizes.append(size)
        lows.append(low)
        highs.append(high)
        tails.append(tail)
    out = call(
        "conv_input_grad",
        x,
        kernel,
        input_shape=[x.shape[0], *sizes, kernel.shape[-2]],
        strides=strides,
        pad_low=lows,
        pad_high=highs,
        dilations=dilation,
        groups=1,
    )
    if any(tails):
        # Positions that no window reaches.
        out = call("pad", out, low=[0] * out.ndim, high=[0, *tails, 0])
    return _restore(out, first)


def _transposed_size(
    size: int, window: int, stride: int, padding: str, extra: int | None
) -> tuple[int, int, int, int]:
    """Output size of a transposed convolution along one dimension, the padding of the convolution it
    transposes (whose input it is), and how many positions at the end are out of its reach."""
    padding = _check_padding(padding)
    if padding == "valid":
        low = 0
        total = max(window, stride) if extra is None else window + extra
    else:
        # What is cut off the full result of (size - 1) * stride + window: the smaller half in front.
        total = stride if extra is None else window % 2 + extra
        low = min((window - total) // 2, window - 1) if total < window else 0
    out = (size - 1) * stride + total
    # The part of the full result from `low` on; `high` is cut from its end, or missing there.
    high = window - total - low
    tail = 0
    if high < 0:
        tail = max(0, -high - (stride - 1))
        high = 0
    return out - tail, low, high, tail


# --------------------------------------------------------------------------------- shared with pooling


def per_dimension(value: Sizes, n: int, name: str) -> list[int]:
    """Returns a size for each of n spatial dimensions."""
    if isinstance(value, int):
        return [value] * n
    values = [int(v) for v in value]
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise ValueError(
            f"Expected {name} to be an int or {n} of them, one per spatial dimension; received {value}."
        )
    return values


def window_padding(
    padding: str,
    sizes: Sequence[int],
    windows: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Padding in front of and behind each dimension, for "valid" or "same"; an odd one goes behind."""
    low, high = [], []
    same = _check_padding(padding) == "same"
    for d, k, s, dil in zip(sizes, windows, strides, dilations, strict=True):
        reach = (k - 1) * dil + 1
        if same:
            total = max((-(-d // s) - 1) * s + reach - d, 0)
            low.append(total // 2)
            high.append(total - total // 2)
        else:
            if d < reach:
                raise ValueError(
                    f"A window of {k} (dilated: {reach}) does not fit into a dimension of size {d}, so the "
                    "result "
                    "would be empty. Use a smaller window, larger inputs, or padding='same'."
                )
            low.append(0)
            high.append(0)
    return low, high


def _check_padding(padding: str) -> str:
    lowered = padding.lower() if isinstance(padding, str) else padding
    if lowered not in ("valid", "same"):
        raise ValueError(f"Invalid padding {padding!r}, must be 'same' or 'valid'.")
    return lowered


def channels_last(x: Tensor, data_format: str | None) -> tuple[Tensor, bool]:
    """Returns x with its channels last, and whether they came first."""
    if config.standardize_data_format(data_format) == "channels_last":
        return x, False
    return call("transpose", x, perm=[0, *range(2, x.ndim), 1]), True


def _operands(
    inputs: TensorLike, kernel: TensorLike, data_format: str | None, op: str
) -> tuple[Tensor, Tensor, bool]:
    x, kernel = as_tensor(inputs), as_tensor(kernel)
    if not 3 <= x.ndim <= 5 or kernel.ndim != x.ndim:
        raise ValueError(
            f"ops.{op} needs inputs of 3, 4 or 5 dimensions (batch, spatial ones, channels) and a kernel of "
            "as many; "
            f"received shapes {x.shape} and {kernel.shape}."
        )
    if kernel.dtype not in FLOATS:
        kernel = call("cast", kernel, dtype=x.dtype if x.dtype in FLOATS else config.floatx())
    # As in Keras, the type of the kernel is that of the computation.
    x, first = channels_last(cast_to(x, kernel.dtype), data_format)
    return x, kernel, first


def _restore(x: Tensor, first: bool) -> Tensor:
    """Moves the channels of a result back to the front if those of the inputs came first."""
    return call("transpose", x, perm=[0, x.ndim - 1, *range(1, x.ndim - 1)]) if first else x


restore_channels = _restore
