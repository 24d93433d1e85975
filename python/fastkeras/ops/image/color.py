"""Colour spaces: grayscale and HSV."""

from __future__ import annotations

from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_float,
    call,
    cast_to,
    cut,
    join,
    symbolic_op,
)
from fastkeras.ops.image._layout import channel_axis, check_image

_EPSILON = {
    "float16": 9.765625e-4,
    "bfloat16": 7.8125e-3,
    "float32": 1.1920929e-7,
    "float64": 2.220446049250313e-16,
}


@symbolic_op
def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> Tensor:
    """The brightness of RGB images, 0.2989 R + 0.587 G + 0.114 B, in one channel; keeps the type.

    Args:
        images: one image or a batch, with 3 channels, or 1: then they are returned as they are.
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    x = check_image(images)
    axis = channel_axis(x, data_format)
    if x.shape[axis] not in (1, 3):
        raise ValueError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). Received input with shape: "
            f"images.shape={x.shape}"
        )
    if x.shape[axis] == 1:
        return x
    red, green, blue = (cut(as_float(x), axis, i, i + 1) for i in range(3))
    return cast_to(red * 0.2989 + green * 0.5870 + blue * 0.1140, x.dtype)


@symbolic_op
def rgb_to_hsv(images: TensorLike, data_format: str | None = None) -> Tensor:
    """RGB images as hue, saturation and value, all in [0, 1] for inputs in [0, 1].

    Raises:
        ValueError: if the images are not of a floating type, or not of 3 channels.
    """
    x, axis = _colour_image(images, data_format)
    epsilon = _EPSILON[x.dtype]
    x = call("where", call("less", call("abs", x), epsilon), 0.0, x)
    red, green, blue = (cut(x, axis, i, i + 1) for i in range(3))
    value = call("maximum", call("maximum", red, green), blue)
    spread = value - call("minimum", call("minimum", red, green), blue)
    coloured, bright = call("greater", spread, 0.0), call("greater", value, 0.0)
    saturation = call("where", bright, spread / call("where", bright, value, 1.0), 0.0)
    step = 1.0 / (call("where", coloured, spread, 1.0) * 6.0)
    # Which channel is largest says in which third of the colour circle the hue lies.
    hue = call(
        "where",
        call("equal", value, green),
        step * (blue - red) + 2.0 / 6.0,
        step * (red - green) + 4.0 / 6.0,
    )
    hue = call("where", call("equal", value, red), step * (green - blue), hue)
    wrapped = call("where", call("less", hue, 0.0), hue + 1.0, hue)
    return join([call("where", coloured, wrapped, 0.0), saturation, value], axis)


@symbolic_op
def hsv_to_rgb(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Images of hue, saturation and value as RGB: undoes `rgb_to_hsv`.

    Raises:
        ValueError: if the images are not of a floating type, or not of 3 channels.
    """
    x, axis = _colour_image(images, data_format)
    hue, saturation, value = (cut(x, axis, i, i + 1) for i in range(3))
    sixth = call("mod", hue, 1.0) * 6.0
    rest = 1.0 - saturation

    def channel(share: Tensor) -> Tensor:
        share = call("minimum", call("maximum", share, 0.0), 1.0)
        return value * (rest + saturation * share)

    red = channel(call("abs", sixth - 3.0) - 1.0)
    green = channel(2.0 - call("abs", sixth - 2.0))
    blue = channel(2.0 - call("abs", sixth - 4.0))
    return join([red, green, blue], axis)


def _colour_image(images: TensorLike, data_format: str | None) -> tuple[Tensor, int]:
    x = check_image(images)
    if x.dtype not in FLOATS:
        raise ValueError(f"Invalid images dtype: expected float dtype. Received: images.dtype={x.dtype}")
    axis = channel_axis(x, data_format)
    if x.shape[axis] != 3:
        raise ValueError(
            f"Invalid channel size: expected 3. Received input with shape: images.shape={x.shape}"
        )
    return x, axis
