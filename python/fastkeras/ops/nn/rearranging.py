"""Moving data between space and channels: space_to_depth, depth_to_space, unfold, fold."""

from __future__ import annotations

from fastkeras.core import config
from fastkeras.ops._common import Tensor, TensorLike, as_tensor, call, join, symbolic_op
from fastkeras.ops.nn.convolution import Sizes, per_dimension


@symbolic_op
def space_to_depth(x: TensorLike, block_size: int, data_format: str | None = "channels_last") -> Tensor:
    """Moves the pixels of each block_size x block_size block of an image into the channels.

    Args:
        x: (batch, height, width, channels), or (batch, channels, height, width) if channels come first.
        block_size: at least 2; height and width must be multiples of it.

    Returns:
        (batch, height / block_size, width / block_size, block_size ** 2 * channels), the channels of a pixel
        side by side; or (batch, channels * block_size ** 2, ...), the pixels of a channel side by side.
    """
    x, first = _image(x, block_size, data_format, "space_to_depth")
    b = block_size
    if first:
        n, c, h, w = x.shape
    else:
        n, h, w, c = x.shape
    if h % b or w % b:
        raise ValueError(f"Height and width must be multiples of block_size={b}; received shape {x.shape}.")
    if first:
        x = call("reshape", x, shape=[n, c, h // b, b, w // b, b])
        x = call("transpose", x, perm=[0, 1, 3, 5, 2, 4])
        return call("reshape", x, shape=[n, c * b * b, h // b, w // b])
    x = call("reshape", x, shape=[n, h // b, b, w // b, b, c])
    x = call("transpose", x, perm=[0, 1, 3, 2, 4, 5])
    return call("reshape", x, shape=[n, h // b, w // b, b * b * c])


@symbolic_op
def depth_to_space(x: TensorLike, block_size: int, data_format: str | None = "channels_last") -> Tensor:
    """Spreads the channels of an image over block_size x block_size blocks: undoes `space_to_depth`.

    Args:
        x: (batch, height, width, channels), or with channels first; channels must be a multiple of
            block_size ** 2.
        block_size: at least 2.
    """
    x, first = _image(x, block_size, data_format, "depth_to_space")
    b = block_size
    if first:
        n, c, h, w = x.shape
    else:
        n, h, w, c = x.shape
    if c % (b * b):
        raise ValueError(
            f"The channels must be a multiple of block_size ** 2 = {b * b}; received shape {x.shape}."
        )
    c //= b * b
    if first:
        x = call("reshape", x, shape=[n, c, b, b, h, w])
        x = call("transpose", x, perm=[0, 1, 4, 2, 5, 3])
        return call("reshape", x, shape=[n, c, h * b, w * b])
    x = call("reshape", x, shape=[n, h, w, b, b, c])
    x = call("transpose", x, perm=[0, 1, 3, 2, 4, 5])
    return call("reshape", x, shape=[n, h * b, w * b, c])


def _image(x: TensorLike, block_size: int, data_format: str | None, op: str) -> tuple[Tensor, bool]:
    x = as_tensor(x)
    if block_size < 2:
        raise ValueError(f"`block_size` must be at least 2. Received: block_size={block_size}")
    if x.ndim != 4:
        raise ValueError(f"ops.{op} needs a tensor of 4 dimensions; received shape {x.shape}.")
    return x, config.standardize_data_format(data_format) == "channels_first"


@symbolic_op
def unfold(
    x: TensorLike, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """The windows of an image, each flattened into a column.

    Args:
        x: (batch, channels, height, width).
        kernel_size, dilation, stride: the window, the distance of its points, and its step; ints or pairs.
        padding: zeros added on every side first.

    Returns:
        (batch, channels * window size, number of windows).
    """
    x = as_tensor(x)
    if x.ndim != 4:
        raise ValueError(f"ops.unfold needs (batch, channels, height, width); received shape {x.shape}.")
    k, d, p, s = (per_dimension(v, 2, n) for v, n in _named(kernel_size, dilation, padding, stride))
    n, c, h, w = x.shape
    if any(p):
        x = call("pad", x, low=[0, 0, *p], high=[0, 0, *p])
    oh, ow = _places(h, k[0], d[0], p[0], s[0]), _places(w, k[1], d[1], p[1], s[1])
    patches = []
    for i in range(k[0]):
        for j in range(k[1]):
            top, left = i * d[0], j * d[1]
            patch = call(
                "slice",
                x,
                start=[0, 0, top, left],
                stop=[n, c, top + (oh - 1) * s[0] + 1, left + (ow - 1) * s[1] + 1],
                step=[1, 1, *s],
            )
            patches.append(call("reshape", patch, shape=[n, c, 1, oh * ow]))
    return call("reshape", join(patches, 2), shape=[n, c * k[0] * k[1], oh * ow])


@symbolic_op
def fold(
    x: TensorLike,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Adds flattened windows back into an image: the transpose of `unfold`.

    Args:
        x: (batch, channels * window size, number of windows).
        output_size: height and width of the image.
        kernel_size, dilation, padding, stride: as for `unfold`.

    Returns:
        (batch, channels, height, width).
    """
    x = as_tensor(x)
    if x.ndim != 3:
        raise ValueError(f"Input must be a 3D tensor. Received: input.shape={x.shape}")
    k, d, p, s = (per_dimension(v, 2, n) for v, n in _named(kernel_size, dilation, padding, stride))
    h, w = per_dimension(output_size, 2, "output_size")
    oh, ow = _places(h, k[0], d[0], p[0], s[0]), _places(w, k[1], d[1], p[1], s[1])
    n, columns, windows = x.shape
    area = k[0] * k[1]
    if columns % area or windows != oh * ow:
        raise ValueError(
            f"An image of {h} x {w} has {oh * ow} windows of {area} elements a channel; received shape "
            f"{x.shape}."
        )
    c = columns // area
    x = call("reshape", x, shape=[n, c, area, oh, ow])
    full_h, full_w = h + 2 * p[0], w + 2 * p[1]
    total = None
    for i in range(k[0]):
        for j in range(k[1]):
            place = i * k[1] + j
            patch = call(
                "slice", x, start=[0, 0, place, 0, 0], stop=[n, c, place + 1, oh, ow], step=[1, 1, 1, 1, 1]
            )
            patch = call("reshape", patch, shape=[n, c, oh, ow])
            top, left = i * d[0], j * d[1]
            patch = call(
                "pad",
                patch,
                low=[0, 0, top, left],
                high=[0, 0, full_h - top - (oh - 1) * s[0] - 1, full_w - left - (ow - 1) * s[1] - 1],
                interior=[0, 0, s[0] - 1, s[1] - 1],
            )
            total = patch if total is None else total + patch
    if any(p):
        total = call("slice", total, start=[0, 0, *p], stop=[n, c, p[0] + h, p[1] + w], step=[1, 1, 1, 1])
    return total


def _named(kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> list[tuple[Sizes, str]]:
    return [(kernel_size, "kernel_size"), (dilation, "dilation"), (padding, "padding"), (stride, "stride")]


def _places(size: int, window: int, dilation: int, padding: int, stride: int) -> int:
    places = (size + 2 * padding - dilation * (window - 1) - 1) // stride + 1
    if places <= 0:
        raise ValueError(
            f"A window of {window} does not fit into a dimension of size {size} padded by {padding}."
        )
    return places
