"""Resizing, cropping and padding of images.

Resizing works on one dimension after the other: every output place is a weighted sum of input places near it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fastkeras import _engine
from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    call,
    canonical_axis,
    canonical_shape,
    cast_to,
    cut,
    iota,
    symbolic_op,
)
from fastkeras.ops.core import saturate_cast
from fastkeras.ops.image._layout import check_image, spatial_axes

_RESIZE_METHODS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
_TRANSLATE_METHODS = {
    "linear": "bilinear",
    "bilinear": "bilinear",
    "trilinear": "bilinear",
    "cubic": "bicubic",
    "bicubic": "bicubic",
    "tricubic": "bicubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


@symbolic_op
def resize(
    images: TensorLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Images in another size; keeps the type (integers are rounded).

    Args:
        images: one image or a batch.
        size: the new (height, width).
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: whether to average over more places when the images shrink.
        crop_to_aspect_ratio: whether to cut off what would be distorted.
        pad_to_aspect_ratio: whether to add `fill_value` instead.
        fill_mode: must be "constant".
        data_format: "channels_last" or "channels_first"; the configured default if None.
    """
    if len(size) != 2 or size[0] <= 0 or size[1] <= 0:
        raise ValueError(f"Expected `size` to be (height, width), both positive. Received: size={size}")
    if interpolation not in _RESIZE_METHODS:
        raise ValueError(
            f"Invalid value for argument `interpolation`. Expected of one {_RESIZE_METHODS}. Received: "
            f"interpolation={interpolation}"
        )
    if fill_mode != "constant":
        raise ValueError(
            "Invalid value for argument `fill_mode`. Only `'constant'` is supported. Received: "
            f"fill_mode={fill_mode}"
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
    x = check_image(images)
    axes = spatial_axes(x, data_format)
    if crop_to_aspect_ratio:
        x = _crop_to_ratio(x, axes, size)
    elif pad_to_aspect_ratio:
        x = _pad_to_ratio(x, axes, size, fill_value)
    dtype = x.dtype
    for axis, n in zip(axes, size, strict=True):
        x = _resize_axis(x, axis, int(n), interpolation, antialias)
    if x.dtype == dtype:
        return x
    return saturate_cast(call("round", x), dtype)


def _crop_to_ratio(x: Tensor, axes: tuple[int, int], size: Sequence[int]) -> Tensor:
    height, width = (x.shape[a] for a in axes)
    kept = (int(float(width * size[0]) / size[1]), int(float(height * size[1]) / size[0]))
    for axis, whole, keep in zip(axes, (height, width), kept, strict=True):
        keep = max(min(whole, keep), 1)
        start = int(float(whole - keep) / 2)
        x = cut(x, axis, start, start + keep)
    return x


def _pad_to_ratio(x: Tensor, axes: tuple[int, int], size: Sequence[int], value: float) -> Tensor:
    height, width = (x.shape[a] for a in axes)
    wanted = (int(float(width * size[0]) / size[1]), int(float(height * size[1]) / size[0]))
    low = [0] * x.ndim
    # At most one dimension is too short; both of its ends get as much.
    for axis, whole, target in zip(axes, (height, width), wanted, strict=True):
        low[axis] = int(float(max(whole, target) - whole) / 2)
    if low[axes[0]] > 0:
        low[axes[1]] = 0
    return call("pad", x, low=low, high=low, value=float(value)) if any(low) else x


def _resize_axis(x: Tensor, axis: int, size: int, method: str, antialias: bool) -> Tensor:
    n = x.shape[axis]
    if n == size:
        return x
    if method == "nearest":
        places = np.floor((np.arange(size) + 0.5) * (n / size)).astype(np.int32)
        return call("gather", x, _engine.tensor(places), axis=axis)
    if x.dtype not in FLOATS:
        x = call("cast", x, dtype="float32")
    weights = _weights(n, size, method, antialias)
    used = weights != 0.0
    taps = int(used.sum(axis=1).max()) if n else 0
    if taps <= 4:
        # Few places matter for each result: look them up and add, instead of multiplying by a sparse matrix.
        order = np.argsort(~used, axis=1, kind="stable")[:, :taps].astype(np.int32)
        shares = np.take_along_axis(weights, order, axis=1)
        shape = [1] * x.ndim
        shape[axis] = size
        total = None
        for t in range(taps):
            part = call("gather", x, _engine.tensor(np.ascontiguousarray(order[:, t])), axis=axis)
            part = part * _engine.tensor(np.ascontiguousarray(shares[:, t]).reshape(shape), x.dtype)
            total = part if total is None else total + part
        return total
    return _along(x, axis, _engine.tensor(weights, x.dtype))


def _along(x: Tensor, axis: int, weights: Tensor) -> Tensor:
    """Multiplies dimension `axis` of x by a matrix (results, places)."""
    lead, trail = x.shape[:axis], x.shape[axis + 1 :]
    flat = call("reshape", x, shape=[math.prod(lead), x.shape[axis], math.prod(trail)])
    out = call("matmul", weights, flat)
    return call("reshape", out, shape=[*lead, weights.shape[0], *trail])


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -1/2."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(radius: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3.0), "lanczos5": _lanczos(5.0)}


def _weights(n: int, size: int, method: str, antialias: bool) -> np.ndarray:
    """The weight (size, n) of every place in every result of a resized dimension."""
    step = n / size
    sample = (np.arange(size) + 0.5) * step - 0.5
    width = max(step, 1.0) if antialias else 1.0
    distance = np.abs(sample[:, None] - np.arange(n)) / width
    weights = _KERNELS[method](distance)
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(np.abs(total) > 1e-4, total, np.inf)


@symbolic_op
def scale_and_translate(
    images: TensorLike,
    output_shape: Sequence[int],
    scale: TensorLike,
    translation: TensorLike,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Images stretched and moved along some dimensions: place p goes to p * scale + translation.

    Args:
        images: of any rank.
        output_shape: the shape of the result; only the dimensions `spatial_dims` may differ from the images.
        scale, translation: a number for each of `spatial_dims`.
        method: "linear", "cubic" (or "bilinear", "bicubic", "trilinear", "tricubic"), "lanczos3" or
            "lanczos5".
        antialias: whether to average over more places when the images shrink.
    """
    if method not in _TRANSLATE_METHODS:
        raise ValueError(
            f"Invalid value for argument `method`. Expected of one {tuple(_TRANSLATE_METHODS)}. Received: "
            f"method={method}"
        )
    x = as_tensor(images)
    if x.dtype not in FLOATS:
        x = call("cast", x, dtype="float32")
    shape = canonical_shape(output_shape)
    scale, translation = as_tensor_of(scale, "float32"), as_tensor_of(translation, "float32")
    for i, axis in enumerate(spatial_dims):
        axis = canonical_axis(int(axis), x.ndim)
        matrix = _moving_weights(
            x.shape[axis], shape[axis], scale[i], translation[i], _TRANSLATE_METHODS[method], antialias
        )
        x = _along(x, axis, cast_to(matrix, x.dtype))
    if x.shape != tuple(shape):
        raise ValueError(
            f"output_shape={tuple(shape)} differs from the images outside spatial_dims: {x.shape}."
        )
    return x


def _moving_weights(
    n: int, size: int, scale: Tensor, translation: Tensor, method: str, antialias: bool
) -> Tensor:
    """Like `_weights`, for a scale and a translation known only at run time."""
    inverse = 1.0 / scale
    sample = (iota(size, "float32") + 0.5) * inverse - translation * inverse - 0.5
    sample = call("reshape", sample, shape=[size, 1])
    distance = call("abs", sample - call("reshape", iota(n, "float32"), shape=[1, n]))
    if antialias:
        distance = distance / call("maximum", inverse, 1.0)
    weights = _kernel(distance, method)
    total = call("reduce_sum", weights, axes=[1], keepdims=True)
    solid = call("greater", call("abs", total), 1e-4)
    weights = call("where", solid, weights / call("where", solid, total, 1.0), 0.0)
    # Results that lie outside the images are 0.
    inside = call("logical_and", call("greater_equal", sample, -0.5), call("less_equal", sample, n - 0.5))
    return call("where", inside, weights, 0.0)


def _kernel(x: Tensor, method: str) -> Tensor:
    if method == "bilinear":
        return call("maximum", 1.0 - x, 0.0)
    if method == "bicubic":
        near = (x * 1.5 - 2.5) * x * x + 1.0
        far = ((x * -0.5 + 2.5) * x - 4.0) * x + 2.0
        return call("where", call("less", x, 1.0), near, call("where", call("less", x, 2.0), far, 0.0))
    radius = 3.0 if method == "lanczos3" else 5.0
    safe = call("where", call("less", x, 1e-3), 1.0, x)
    angle = safe * math.pi
    waves = call("sin", angle) * call("sin", angle * (1.0 / radius)) * radius / (angle * angle)
    return call("where", call("less", x, 1e-3), 1.0, call("where", call("less", x, radius), waves, 0.0))


# ------------------------------------------------------------------------------------------ crop and pad


@symbolic_op
def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images without some rows and columns at their borders.

    Exactly two of top_cropping, bottom_cropping and target_height must be given, and likewise of
    left_cropping, right_cropping and target_width.
    """
    x = check_image(images)
    rows, columns = spatial_axes(x, data_format)
    _two_of_three(top_cropping=top_cropping, bottom_cropping=bottom_cropping, target_height=target_height)
    _two_of_three(left_cropping=left_cropping, right_cropping=right_cropping, target_width=target_width)
    for axis, before, after, target, name in (
        (rows, top_cropping, bottom_cropping, target_height, ("top_cropping", "target_height")),
        (columns, left_cropping, right_cropping, target_width, ("left_cropping", "target_width")),
    ):
        if before is None:
            before = x.shape[axis] - target - after
        if target is None:
            target = x.shape[axis] - after - before
        for value, label in ((before, name[0]), (target, name[1])):
            if value < 0:
                raise ValueError(f"{label} must be >= 0. Received: {label}={value}")
        if before + target > x.shape[axis]:
            raise ValueError(
                f"Cannot keep {name[1]}={target} after cropping {before}: the images have {x.shape[axis]} "
                "there."
            )
        x = cut(x, axis, before, before + target)
    return x


@symbolic_op
def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images with rows and columns of zeros added at their borders.

    Exactly two of top_padding, bottom_padding and target_height must be given, and likewise of left_padding,
    right_padding and target_width.
    """
    x = check_image(images)
    rows, columns = spatial_axes(x, data_format)
    _two_of_three(top_padding=top_padding, bottom_padding=bottom_padding, target_height=target_height)
    _two_of_three(left_padding=left_padding, right_padding=right_padding, target_width=target_width)
    low, high = [0] * x.ndim, [0] * x.ndim
    for axis, before, after, target, names in (
        (rows, top_padding, bottom_padding, target_height, ("top_padding", "bottom_padding")),
        (columns, left_padding, right_padding, target_width, ("left_padding", "right_padding")),
    ):
        if before is None:
            before = target - after - x.shape[axis]
        if after is None:
            after = target - before - x.shape[axis]
        for value, label in ((before, names[0]), (after, names[1])):
            if value < 0:
                raise ValueError(f"{label} must be >= 0. Received: {label}={value}")
        low[axis], high[axis] = int(before), int(after)
    return call("pad", x, low=low, high=high) if any(low) or any(high) else x


def _two_of_three(**given: int | None) -> None:
    if sum(v is None for v in given.values()) != 1:
        raise ValueError(
            f"Must specify exactly two of {', '.join(given)}. Received: "
            + ", ".join(f"{k}={v}" for k, v in given.items())
        )
    for name, value in given.items():
        if value is not None and value < 0:
            raise ValueError(f"{name} must be >= 0. Received: {name}={value}")
