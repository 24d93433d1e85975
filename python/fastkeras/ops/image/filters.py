"""Filters of images: Gaussian blur, Sobel edges, and the similarity measure made of blurred moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.ops._common import (
    Tensor,
    TensorLike,
    as_float,
    as_tensor_of,
    call,
    cast_to,
    iota,
    join,
    reduce_sum,
    same_dtype,
    symbolic_op,
)
from fastkeras.ops.image._layout import Batch, check_image


@symbolic_op
def gaussian_blur(
    images: TensorLike,
    kernel_size: Sequence[int] = (3, 3),
    sigma: TensorLike = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Images in which every pixel is a weighted mean of those around it; zeros surround the images.

    Args:
        images: one image or a batch.
        kernel_size: the window, (width, height).
        sigma: the standard deviations of the weights, (horizontal, vertical).
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    batch = Batch(images, data_format)
    x = as_float(batch.x)
    sigma = as_tensor_of(sigma, x.dtype)
    for axis, size, deviation in ((2, kernel_size[0], sigma[0]), (1, kernel_size[1], sigma[1])):
        x = _filter(x, _bell(int(size), deviation), axis, "same")
    return batch.restore(x)


def _bell(size: int, sigma: Tensor) -> Tensor:
    """Gaussian weights that add up to 1."""
    place = (iota(size, sigma.dtype) - (size - 1) / 2.0) / sigma
    weights = call("exp", place * place * -0.5)
    return weights / reduce_sum(weights, [0], True)


def _filter(x: Tensor, weights: Tensor, axis: int, padding: str) -> Tensor:
    """Convolves height (axis 1) or width (axis 2) of every channel with 1-D weights."""
    n, channels = weights.shape[0], x.shape[3]
    window = [n, 1] if axis == 1 else [1, n]
    kernel = call("reshape", weights, shape=[*window, 1, 1])
    kernel = call("broadcast_to", kernel, shape=[*window, 1, channels])
    low, high = [0, 0], [0, 0]
    if padding == "same":
        low[axis - 1], high[axis - 1] = (n - 1) // 2, n - 1 - (n - 1) // 2
    return call(
        "conv", x, kernel, strides=[1, 1], pad_low=low, pad_high=high, dilations=[1, 1], groups=channels
    )


@symbolic_op
def sobel_edges(images: TensorLike, data_format: str | None = None) -> Tensor:
    """The slopes of images by Sobel's filters, vertical and horizontal in a new last dimension.

    Args:
        images: (batch, height, width, channels), or with channels first.

    Returns:
        The shape of the images and 2 more at the end: dy and dx.
    """
    x = check_image(images)
    if x.ndim != 4:
        raise ValueError(f"ops.image.sobel_edges needs a batch of images (rank 4); received shape {x.shape}.")
    first = config.standardize_data_format(data_format) == "channels_first"
    x = as_float(x)
    if first:
        x = call("transpose", x, perm=[0, 2, 3, 1])
    slope, mean = (_engine.tensor(np.array(w), x.dtype) for w in ([-1.0, 0.0, 1.0], [1.0, 2.0, 1.0]))
    dx = _filter(_filter(x, slope, 2, "same"), mean, 1, "same")
    dy = _filter(_filter(x, slope, 1, "same"), mean, 2, "same")
    if first:
        dx, dy = (call("transpose", t, perm=[0, 3, 1, 2]) for t in (dx, dy))
    return join([call("reshape", t, shape=[*t.shape, 1]) for t in (dy, dx)], 4)


@symbolic_op
def ssim(
    image1: TensorLike,
    image2: TensorLike,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Tensor:
    """The structural similarity of images, at most 1: 1 for equal ones.

    Args:
        image1, image2: images, or batches of them, of one shape.
        max_val: the range of the pixel values.
        filter_size, filter_sigma: the Gaussian window in which means and variances are taken.
        k1, k2: constants that keep the quotient stable.

    Returns:
        A number for each image of the batch.
    """
    dtype = check_image(image1).dtype
    image1, image2 = same_dtype((as_float(image1), as_float(check_image(image2))))
    if image1.shape != image2.shape:
        raise ValueError(f"The images must have the same shape; received {image1.shape} and {image2.shape}.")
    batch = Batch(image1, data_format)
    a, b = batch.x, Batch(image2, data_format).x
    if a.shape[1] < filter_size or a.shape[2] < filter_size:
        raise ValueError(
            f"Images of shape {image1.shape} are smaller than the window, filter_size={filter_size}."
        )
    weights = _bell(filter_size, as_tensor_of(filter_sigma, a.dtype))

    def blurred(x: Tensor) -> Tensor:
        return _filter(_filter(x, weights, 1, "valid"), weights, 2, "valid")

    mean_a, mean_b = blurred(a), blurred(b)
    square_a, square_b, cross = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    variance_a, variance_b = blurred(a * a) - square_a, blurred(b * b) - square_b
    covariance = blurred(a * b) - cross
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    similarity = ((cross * 2.0 + c1) * (covariance * 2.0 + c2)) / (
        (square_a + square_b + c1) * (variance_a + variance_b + c2)
    )
    out = reduce_sum(similarity, [1, 2, 3]) / float(similarity.size // similarity.shape[0])
    return cast_to(call("reshape", out, shape=[]) if batch.single else out, dtype)
