"""Colours of images: types, brightness, contrast, hue and saturation."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow.dtypes import as_dtype
from fastkeras.ops import image as _image

_TO_YUV = np.array(
    [[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]],
    "float32",
)
_FROM_YUV = np.array(
    [[1.0, 1.0, 1.0], [0.0, -0.394642334, 2.03206185], [1.13988303, -0.58062185, 0.0]], "float32"
)


def convert_image_dtype(image: Any, dtype: Any, saturate: bool = False, name: str | None = None) -> Tensor:
    """Images in another type: floats lie in [0, 1), integers use their whole range.

    Args:
        image: images of any type.
        dtype: the type of the result.
        saturate: whether numbers outside of its range become the nearest ones in it, instead of anything.
        name: unused.
    """
    old, new = as_dtype(ops.dtype(image)), as_dtype(dtype)
    if old == new:
        return ops.convert_to_tensor(image)
    if old.is_integer and new.is_integer:
        up = new.max > old.max
        factor = (new.max + 1) // (old.max + 1) if up else (old.max + 1) // (new.max + 1)
        scaled = ops.multiply(ops.cast(image, new), factor) if up else ops.floor_divide(image, factor)
        return ops.saturate_cast(scaled, new) if saturate else ops.cast(scaled, new)
    if old.is_integer:
        return ops.multiply(ops.cast(image, new), 1.0 / old.max)
    if new.is_integer:
        scaled = ops.multiply(image, new.max + 0.5)
        return ops.saturate_cast(scaled, new) if saturate else ops.cast(scaled, new)
    return ops.cast(image, new)


def _in_floats(image: Any, change: Any) -> Tensor:
    """`change` of the images as floats, turned back into the type they have."""
    dtype = as_dtype(ops.dtype(image))
    if dtype.is_floating:
        return change(ops.convert_to_tensor(image))
    return convert_image_dtype(change(convert_image_dtype(image, "float32")), dtype, saturate=True)


def adjust_brightness(image: Any, delta: Any) -> Tensor:
    """Images with `delta` added to every channel, on the scale of 0 to 1."""
    return _in_floats(image, lambda x: ops.add(x, ops.cast(delta, x.dtype)))


def adjust_contrast(images: Any, contrast_factor: Any) -> Tensor:
    """Images whose distance from the mean of each channel is multiplied by a factor."""

    def change(x: Any) -> Tensor:
        mean = ops.mean(x, [-3, -2], keepdims=True)
        return (x - mean) * contrast_factor + mean

    return _in_floats(images, change)


def adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1) -> Tensor:
    """`gain * image ** gamma`, on the scale of 0 to 1."""
    return _in_floats(image, lambda x: ops.multiply(gain, ops.power(x, gamma)))


def adjust_saturation(image: Any, saturation_factor: Any, name: str | None = None) -> Tensor:
    """Images whose colours are stronger by a factor."""

    def change(x: Any) -> Tensor:
        hsv = _image.rgb_to_hsv(x, "channels_last")
        stronger = ops.clip(hsv[..., 1:2] * saturation_factor, 0.0, 1.0)
        hsv = ops.concatenate([hsv[..., :1], stronger, hsv[..., 2:]], -1)
        return _image.hsv_to_rgb(hsv, "channels_last")

    return _in_floats(image, change)


def adjust_hue(image: Any, delta: Any, name: str | None = None) -> Tensor:
    """Images whose colours are moved by `delta` (-1 to 1) around the circle of hues."""

    def change(x: Any) -> Tensor:
        hsv = _image.rgb_to_hsv(x, "channels_last")
        hsv = ops.concatenate([ops.mod(hsv[..., :1] + delta, 1.0), hsv[..., 1:]], -1)
        return _image.hsv_to_rgb(hsv, "channels_last")

    return _in_floats(image, change)


def per_image_standardization(image: Any) -> Tensor:
    """Images of mean 0 and variance 1 each (a uniform one becomes 0)."""
    x = ops.cast(image, "float32")
    n = float(np.prod(ops.shape(x)[-3:]))
    centred = x - ops.mean(x, [-3, -2, -1], keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(centred), [-3, -2, -1], keepdims=True))
    return centred / ops.maximum(deviation, 1.0 / np.sqrt(n))


def grayscale_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """One channel repeated three times."""
    return ops.repeat(images, 3, -1)


def rgb_to_yuv(images: Any) -> Tensor:
    """Brightness and two colour differences from red, green and blue."""
    return ops.matmul(images, _TO_YUV)


def yuv_to_rgb(images: Any) -> Tensor:
    """Red, green and blue from brightness and two colour differences."""
    return ops.matmul(images, _FROM_YUV)
