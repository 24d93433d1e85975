"""`tf.image`: sizes, flips, crops, colours, and measures of likeness. Images are (height, width, channels), or batches
of them."""

# ruff: noqa: F401 - a namespace: what it imports is public.
from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._adapters import arguments
from fastkeras.compat.tensorflow._colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_gamma,
    adjust_hue,
    adjust_saturation,
    convert_image_dtype,
    grayscale_to_rgb,
    per_image_standardization,
    rgb_to_yuv,
    yuv_to_rgb,
)
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._random_image import (
    random_brightness,
    random_contrast,
    random_crop,
    random_flip_left_right,
    random_flip_up_down,
    random_hue,
    random_saturation,
    stateless_random_brightness,
    stateless_random_contrast,
    stateless_random_crop,
    stateless_random_flip_left_right,
    stateless_random_flip_up_down,
    stateless_random_hue,
    stateless_random_saturation,
)
from fastkeras.compat.tensorflow._shape import shape_arg
from fastkeras.ops import image as _image


class ResizeMethod:
    """The names of the methods of `tf.image.resize`."""

    BILINEAR = "bilinear"
    NEAREST_NEIGHBOR = "nearest"
    BICUBIC = "bicubic"
    LANCZOS3 = "lanczos3"
    LANCZOS5 = "lanczos5"


def _size(images: Any) -> tuple[int, int]:
    height, width = ops.shape(images)[-3:-1]
    return height, width


def _method(method: str) -> str:
    known = [v for k, v in vars(ResizeMethod).items() if k.isupper()]
    if method not in known:
        raise ValueError(f"tf.image.resize got method={method!r}. Expected one of {', '.join(known)}.")
    return method


def resize(
    images: Any,
    size: Any,
    method: str = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    name: str | None = None,
) -> Tensor:
    """Images in another size.

    Args:
        images: one image or a batch.
        size: (height, width).
        method: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        preserve_aspect_ratio: whether to make them no larger than `size`, and of the shape they have.
        antialias: whether to average what falls together when they become smaller.
        name: unused.

    Returns:
        float32, or the type of the images if they are "nearest".
    """
    height, width = shape_arg(size, "size")
    if preserve_aspect_ratio:
        old_height, old_width = _size(images)
        scale = min(height / old_height, width / old_width)
        height, width = (max(round(d * scale), 1) for d in (old_height, old_width))
    if _method(method) == "nearest":
        return _image.resize(images, (height, width), "nearest", data_format="channels_last")
    floats = ops.cast(images, "float32")
    return _image.resize(floats, (height, width), method, antialias, data_format="channels_last")


def resize_with_pad(
    image: Any, target_height: int, target_width: int, method: str = "bilinear", antialias: bool = False
) -> Tensor:
    """Images resized in the shape they have, with zeros around to fill the size."""
    old_height, old_width = _size(image)
    ratio = max(old_height / target_height, old_width / target_width)
    height, width = (max(int(d / ratio), 1) for d in (old_height, old_width))
    out = resize(image, (height, width), method, antialias=antialias)
    top, left = (target_height - height) // 2, (target_width - width) // 2
    return pad_to_bounding_box(out, top, left, target_height, target_width)


def resize_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Tensor:
    """The middle of images, with zeros around where they are too small."""
    height, width = _size(image)
    top, left = max(height - target_height, 0) // 2, max(width - target_width, 0) // 2
    kept = crop_to_bounding_box(image, top, left, min(height, target_height), min(width, target_width))
    height, width = _size(kept)
    top, left = (target_height - height) // 2, (target_width - width) // 2
    return pad_to_bounding_box(kept, top, left, target_height, target_width)


def crop_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """The part of images that begins at (offset_height, offset_width) and has the target size."""
    top, left, rows, columns = (int(v) for v in (offset_height, offset_width, target_height, target_width))
    height, width = _size(image)
    if top < 0 or left < 0 or top + rows > height or left + columns > width:
        raise ValueError(
            f"tf.image.crop_to_bounding_box got the box of {rows} x {columns} pixels at ({top}, {left}) for images of "
            f"{height} x {width}. Expected a box inside them. Pad them first with tf.image.pad_to_bounding_box."
        )
    return ops.get_item(image, (Ellipsis, slice(top, top + rows), slice(left, left + columns), slice(None)))


def pad_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """Images put at (offset_height, offset_width) of black ones of the target size."""
    top, left = int(offset_height), int(offset_width)
    height, width = _size(image)
    bottom, right = int(target_height) - top - height, int(target_width) - left - width
    if min(top, left, bottom, right) < 0:
        raise ValueError(
            f"tf.image.pad_to_bounding_box got the place ({top}, {left}) in {target_height} x {target_width} pixels "
            f"for images of {height} x {width}. Expected them to fit. Crop them first."
        )
    batch = [(0, 0)] * (len(ops.shape(image)) - 3)
    return ops.pad(image, [*batch, (top, bottom), (left, right), (0, 0)])


def central_crop(image: Any, central_fraction: float) -> Tensor:
    """The middle of images: `central_fraction` of their height and width."""
    if not 0.0 < central_fraction <= 1.0:
        raise ValueError(
            f"tf.image.central_crop got central_fraction={central_fraction}. Expected a number above 0 and up to 1."
        )
    height, width = _size(image)
    top, left = (int((d - d * central_fraction) / 2) for d in (height, width))
    return crop_to_bounding_box(image, top, left, height - 2 * top, width - 2 * left)


# ------------------------------------------------------------------------------------------------ moving


def flip_left_right(image: Any) -> Tensor:
    """Images mirrored, left and right exchanged."""
    return ops.flip(image, -2)


def flip_up_down(image: Any) -> Tensor:
    """Images upside down."""
    return ops.flip(image, -3)


def transpose(image: Any, name: str | None = None) -> Tensor:
    """Height and width exchanged."""
    return ops.swapaxes(image, -3, -2)


def rot90(image: Any, k: int = 1, name: str | None = None) -> Tensor:
    """Images turned counter-clockwise by k right angles."""
    turns = int(k) % 4
    if turns == 1:
        return flip_up_down(transpose(image))
    if turns == 2:
        return flip_up_down(flip_left_right(image))
    return flip_left_right(transpose(image)) if turns == 3 else ops.convert_to_tensor(image)


def extract_patches(
    images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None
) -> Tensor:
    """The windows of images, the pixels of each in the channels.

    Args:
        images: (batch, height, width, channels).
        sizes, strides, rates: four numbers each, 1 for batch and channels.
        padding: "SAME" or "VALID".
        name: unused.
    """
    windows = (tuple(shape_arg(v, "sizes")[1:3]) for v in (sizes, strides, rates))
    return _image.extract_patches(images, *windows, padding.lower(), "channels_last")


# --------------------------------------------------------------------------------------------- measuring


def psnr(a: Any, b: Any, max_val: Any, name: str | None = None) -> Tensor:
    """The peak signal-to-noise ratio of pairs of images, in decibel: one number for each pair."""
    scale = 1.0 / float(_largest(a))
    x, y = convert_image_dtype(a, "float32"), convert_image_dtype(b, "float32")
    error = ops.mean(ops.square(x - y), [-3, -2, -1])
    top = ops.cast(max_val, "float32") * scale
    return 20.0 * ops.log10(top) - 10.0 * ops.log10(error)


def _largest(x: Any) -> float:
    from fastkeras.compat.tensorflow.dtypes import as_dtype

    dtype = as_dtype(ops.dtype(x))
    return dtype.max if dtype.is_integer else 1.0


def ssim(
    img1: Any,
    img2: Any,
    max_val: float,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Tensor:
    """The structural similarity of pairs of images: one number for each pair."""
    scale = 1.0 / float(_largest(img1))
    x, y = convert_image_dtype(img1, "float32"), convert_image_dtype(img2, "float32")
    single = len(ops.shape(x)) == 3
    if single:
        x, y = ops.expand_dims(x, 0), ops.expand_dims(y, 0)
    out = _image.ssim(x, y, float(max_val) * scale, filter_size, filter_sigma, k1, k2, "channels_last")
    return ops.squeeze(out) if single and len(ops.shape(out)) else out


def total_variation(images: Any, name: str | None = None) -> Tensor:
    """The sum of differences between neighbouring pixels: one number for each image."""
    x = ops.convert_to_tensor(images)
    down = ops.abs(x[..., 1:, :, :] - x[..., :-1, :, :])
    along = ops.abs(x[..., :, 1:, :] - x[..., :, :-1, :])
    return ops.sum(down, [-3, -2, -1]) + ops.sum(along, [-3, -2, -1])


def image_gradients(image: Any) -> tuple[Tensor, Tensor]:
    """The differences to the pixels below and to the right, 0 at the edge: `(dy, dx)` of a batch."""
    x = ops.convert_to_tensor(image)
    dy = ops.pad(x[:, 1:] - x[:, :-1], [(0, 0), (0, 1), (0, 0), (0, 0)])
    dx = ops.pad(x[:, :, 1:] - x[:, :, :-1], [(0, 0), (0, 0), (0, 1), (0, 0)])
    return dy, dx


def rgb_to_grayscale(images: Any, name: str | None = None) -> Tensor:
    """The brightness of colours: one channel."""
    return _image.rgb_to_grayscale(images, "channels_last")


rgb_to_hsv = arguments(_image.rgb_to_hsv, "rgb_to_hsv", "images")
hsv_to_rgb = arguments(_image.hsv_to_rgb, "hsv_to_rgb", "images")
sobel_edges = arguments(_image.sobel_edges, "sobel_edges", "image")

_DECODE = "Read image files with Pillow or matplotlib: np.asarray(PIL.Image.open(path))."
__getattr__ = missing(
    __name__,
    {
        **dict.fromkeys(("decode_image", "decode_jpeg", "decode_png", "decode_gif", "decode_bmp"), _DECODE),
        "non_max_suppression": "Write it in NumPy: the number of boxes kept depends on their values.",
    },
)
