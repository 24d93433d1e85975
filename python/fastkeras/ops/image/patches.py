"""Windows of images and volumes, each flattened into channels."""

from __future__ import annotations

from collections.abc import Sequence

from fastkeras.ops._common import Tensor, TensorLike, as_tensor, call, join, symbolic_op
from fastkeras.ops.nn.convolution import Sizes, channels_last, per_dimension, restore_channels, window_padding


@symbolic_op
def extract_patches(
    images: TensorLike,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The windows of images, each flattened into the channels of one place.

    Args:
        images: one image or a batch (or volumes, if `size` has three numbers).
        size: the window, an int or (height, width).
        strides: the step of the window; `size` if None.
        dilation_rate: the distance between the points of the window.
        padding: "valid" for none, "same" for zeros around.
        data_format: "channels_last" or "channels_first"; the configured default if None.

    Returns:
        (batch, rows, columns, height * width * channels), or with channels first.
    """
    n = 2 if isinstance(size, int) else len(size)
    if n not in (2, 3):
        raise TypeError(
            f"Invalid `size` argument. Expected an int or a tuple of length 2 or 3. Received: size={size}"
        )
    return _patches(as_tensor(images), size, strides, dilation_rate, padding, data_format, n)


@symbolic_op
def extract_patches_3d(
    volumes: TensorLike,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The windows of volumes, each flattened into the channels of one place; see `extract_patches`.

    Args:
        volumes: (batch, depth, height, width, channels), without a batch, or with channels first.
        size: the window, an int or (depth, height, width).
    """
    if not isinstance(size, int) and len(size) != 3:
        raise TypeError(
            f"Invalid `size` argument. Expected an int or a tuple of length 3. Received: size={size}"
        )
    return _patches(as_tensor(volumes), size, strides, dilation_rate, padding, data_format, 3)


def _patches(
    x: Tensor,
    size: Sizes,
    strides: Sizes | None,
    dilation_rate: Sizes,
    padding: str,
    data_format: str | None,
    n: int,
) -> Tensor:
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(f"Expected a tensor of {n + 1} or {n + 2} dimensions; received shape {x.shape}.")
    single = x.ndim == n + 1
    if single:
        x = call("reshape", x, shape=[1, *x.shape])
    x, first = channels_last(x, data_format)
    window = per_dimension(size, n, "size")
    step = per_dimension(size if strides is None else strides, n, "strides")
    dilation = per_dimension(dilation_rate, n, "dilation_rate")
    low, high = window_padding(padding, x.shape[1:-1], window, step, dilation)
    if any(low) or any(high):
        x = call("pad", x, low=[0, *low, 0], high=[0, *high, 0])
    batch, channels = x.shape[0], x.shape[-1]
    places = [
        (d - (k - 1) * r - 1) // s + 1
        for d, k, r, s in zip(x.shape[1:-1], window, dilation, step, strict=True)
    ]
    if window == step and dilation == [1] * n:
        out = _tiles(x, window, places)
    else:
        out = join([_shifted(x, offset, places, step) for offset in _offsets(window, dilation)], n + 1)
    out = call("reshape", out, shape=[batch, *places, channels * _product(window)])
    out = restore_channels(out, first)
    return call("reshape", out, shape=out.shape[1:]) if single else out


def _tiles(x: Tensor, window: list[int], places: list[int]) -> Tensor:
    """Windows that do not overlap: one reshape and one transposition."""
    n = len(window)
    stop = [x.shape[0], *[p * k for p, k in zip(places, window, strict=True)], x.shape[-1]]
    if list(x.shape) != stop:
        x = call("slice", x, start=[0] * x.ndim, stop=stop, step=[1] * x.ndim)
    split = [x.shape[0]]
    for p, k in zip(places, window, strict=True):
        split += [p, k]
    x = call("reshape", x, shape=[*split, x.shape[-1]])
    return call("transpose", x, perm=[0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1])


def _offsets(window: list[int], dilation: list[int]) -> list[tuple[int, ...]]:
    out: list[tuple[int, ...]] = [()]
    for k, r in zip(window, dilation, strict=True):
        out = [(*o, i * r) for o in out for i in range(k)]
    return out


def _shifted(x: Tensor, offset: Sequence[int], places: list[int], step: list[int]) -> Tensor:
    """The pixel at one offset of every window."""
    stop = [o + (p - 1) * s + 1 for o, p, s in zip(offset, places, step, strict=True)]
    return call("slice", x, start=[0, *offset, 0], stop=[x.shape[0], *stop, x.shape[-1]], step=[1, *step, 1])


def _product(values: Sequence[int]) -> int:
    out = 1
    for v in values:
        out *= v
    return out
