"""What the image models share around the network: scaling of pixels, reading of predictions, checks of arguments."""

from __future__ import annotations

import functools
import json
import warnings
from typing import Any

import numpy as np

from fastkeras import activations, ops
from fastkeras.applications.cached_files import CLASS_INDEX, find_cached
from fastkeras.core.config import floatx, image_data_format

_DATA_FORMATS = ("channels_first", "channels_last")
# Per mode: whether RGB becomes BGR, the factor of all pixels, then mean and deviation of each channel (ImageNet's).
_MODES: dict[str, tuple[bool, float, tuple[float, ...] | float, tuple[float, ...] | None]] = {
    "caffe": (True, 1.0, (103.939, 116.779, 123.68), None),
    "tf": (False, 127.5, 1.0, None),
    "torch": (False, 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_CLASSES = 1000


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Scales pixels in [0, 255] to what a model was trained on.

    Args:
        x: NumPy array or tensor of one image (3 dimensions) or a batch of images (4 dimensions), with three
            channels in the order red, green, blue.
        data_format: "channels_last" or "channels_first"; None: `keras.config.image_data_format()`.
        mode: "caffe": channels in the order blue, green, red, each centred on ImageNet's mean; "tf": values between
            -1 and 1; "torch": values divided by 255, each channel centred on ImageNet's mean and divided by its
            deviation.

    Shapes: that of `x`. A NumPy array of a floating-point type is overwritten and keeps its type; integers give a new
    array of the default float type. Pass `x.copy()` to keep the original.

    Raises:
        ValueError: for an unknown mode or data format.

    Example: `preprocess_input(numpy.full((1, 2, 2, 3), 255.0), mode="tf")` is 1 everywhere.
    """
    if mode not in _MODES:
        raise ValueError(
            f"Unknown preprocessing mode. Received: mode={mode!r}. Expected one of 'caffe', 'tf' or 'torch'. "
            "Use the one that the model was trained with, or the model's own `preprocess_input`."
        )
    if data_format is None:
        data_format = image_data_format()
    elif data_format not in _DATA_FORMATS:
        raise ValueError(
            f"Unknown data format. Received: data_format={data_format!r}. Expected 'channels_first' or "
            "'channels_last'. Say where the channels of the images are."
        )
    axis = -1 if data_format == "channels_last" else (0 if len(x.shape) == 3 else 1)
    return (_scale_array if isinstance(x, np.ndarray) else _scale_tensor)(x, axis, mode)


def _scale_array(x: np.ndarray, axis: int, mode: str) -> np.ndarray:
    flip, factor, mean, deviation = _MODES[mode]
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(floatx())
    if flip:
        x = np.flip(x, axis)
    if factor != 1.0:
        x /= factor
    x -= _per_channel(mean, x, axis)
    if deviation is not None:
        x /= _per_channel(deviation, x, axis)
    return x


def _scale_tensor(x: Any, axis: int, mode: str) -> Any:
    flip, factor, mean, deviation = _MODES[mode]
    if "float" not in str(x.dtype):
        x = ops.cast(x, floatx())
    if flip:
        x = ops.flip(x, axis=axis)
    if factor != 1.0:
        x = x / factor
    x = x - ops.convert_to_tensor(_per_channel(mean, x, axis), dtype=x.dtype)
    if deviation is not None:
        x = x / ops.convert_to_tensor(_per_channel(deviation, x, axis), dtype=x.dtype)
    return x


def _per_channel(values: tuple[float, ...] | float, x: Any, axis: int) -> np.ndarray:
    """Returns `values` in a form that broadcasts along the channels of `x`."""
    dtype = x.dtype if isinstance(x, np.ndarray) else "float64"
    array = np.asarray(values, dtype=dtype)
    if not array.ndim:
        return array
    shape = [1] * len(x.shape)
    shape[axis] = array.size
    return array.reshape(shape)


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns the names of the most probable ImageNet classes of each image.

    Args:
        preds: array or tensor of shape `(batch, 1000)`.
        top: number of classes per image.

    Returns:
        For each image, a list of `(class identifier, description, score)`, the highest score first.

    Raises:
        ValueError: if `preds` has another shape.
        FileNotFoundError: if the table of names, `imagenet_class_index.json`, is not in the cache; the message says
            where it belongs.

    Example:
        decode_predictions(model.predict(images), top=3)[0][0]  # ('n02504458', 'African_elephant', 0.82)
    """
    shape = tuple(preds.shape)
    if len(shape) != 2 or shape[1] != _CLASSES:
        raise ValueError(
            f"`decode_predictions` cannot read predictions of shape {shape}. Expected a batch of ImageNet predictions, "
            f"of shape (samples, {_CLASSES}). Pass the output of a model with `include_top=True` and 1000 classes."
        )
    names = _class_names()
    rows = ops.convert_to_numpy(preds)
    order = np.argsort(rows, axis=1)[:, ::-1][:, :top]
    return [[(*names[i], row[i]) for i in best] for row, best in zip(rows, order)]


@functools.lru_cache(maxsize=1)
def _class_names() -> list[tuple[str, str]]:
    with open(find_cached(CLASS_INDEX, "the names of the ImageNet classes"), encoding="utf-8") as file:
        table = json.load(file)
    return [tuple(table[str(i)]) for i in range(_CLASSES)]


def obtain_input_shape(
    input_shape: Any,
    default_size: int,
    min_size: int,
    data_format: str,
    require_flatten: bool,
    weights: Any = None,
) -> tuple[int | None, ...]:
    """Checks the shape of a model's images, or chooses it.

    Args:
        input_shape: shape of one image, or None.
        default_size: height and width if there is no shape and the classifier needs one.
        min_size: least height and width.
        data_format: "channels_last" or "channels_first".
        require_flatten: whether the classifier on top needs all sizes to be known.
        weights: "imagenet" (which takes three channels, and the default size with a classifier), a path, or None.

    Raises:
        ValueError: if the shape does not suit the model.

    Example: `obtain_input_shape(None, 224, 32, "channels_last", False)` is `(None, None, 3)`.
    """
    first = data_format == "channels_first"
    pretrained = weights == "imagenet"
    shape = None if not input_shape else tuple(input_shape)

    def image(size: int | None, channels: int | None) -> tuple[int | None, ...]:
        return (channels, size, size) if first else (size, size, channels)

    if pretrained and require_flatten:
        default = image(default_size, 3)
        if shape is not None and shape != default:
            raise ValueError(
                f"ImageNet weights with a classifier (`include_top=True`) are for images of shape {default}. "
                f"Received: input_shape={input_shape}. Leave `input_shape` out, or pass `include_top=False`."
            )
        return default
    if shape is None:
        return image(default_size if require_flatten else None, 3)
    if len(shape) != 3:
        raise ValueError(
            f"`input_shape` must be a tuple of three integers. Received: input_shape={input_shape}. Pass the shape of "
            f"one image, without the batch dimension, such as {image(default_size, 3)}."
        )
    channels = shape[0] if first else shape[-1]
    if pretrained and channels != 3:
        raise ValueError(
            f"The input must have 3 channels with ImageNet weights. Received: input_shape={input_shape}. Convert the "
            "images to RGB, or pass `weights=None`."
        )
    if channels not in (1, 3):
        warnings.warn(
            f"This model usually expects images of 1 or 3 channels; input_shape={input_shape} has {channels}.",
            stacklevel=3,
        )
    if any(size is not None and size < min_size for size in (shape[1:] if first else shape[:2])):
        raise ValueError(
            f"Input size must be at least {min_size}x{min_size}. Received: input_shape={input_shape}. Enlarge the "
            "images."
        )
    if require_flatten and None in shape:
        raise ValueError(
            "With `include_top=True` all sizes in `input_shape` must be known. Received: "
            f"input_shape={input_shape}. Give height and width, or pass `include_top=False`."
        )
    return shape


def correct_pad(inputs: Any, kernel_size: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the zero padding before a convolution with stride 2 and no padding of its own.

    The result is what centres the kernel as "same" does, with one row and column less before an even size.

    Args:
        inputs: tensor of shape `(batch, height, width, channels)`, or with the channels first.
        kernel_size: integer, or pair.

    Example: for images of 224x224 and a kernel of 3: `((0, 1), (0, 1))`.
    """
    start = 2 if image_data_format() == "channels_first" else 1
    height, width = inputs.shape[start : start + 2]
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    # An unknown size counts as odd or even by the height alone, for both.
    even = (1, 1) if height is None else (1 - height % 2, 1 - width % 2)
    return tuple((k // 2 - e, k // 2) for k, e in zip(kernel, even))  # type: ignore[return-value]


def validate_activation(classifier_activation: Any, weights: Any) -> None:
    """Checks that the activation of the classifier suits pretrained weights.

    Args:
        classifier_activation: name, function or None.
        weights: "imagenet", a path, or None.

    Raises:
        ValueError: if there are weights, and the activation is neither None nor "softmax".
    """
    if weights is None:
        return
    if activations.get(classifier_activation) not in (activations.get("softmax"), activations.get(None)):
        raise ValueError(
            "Pretrained weights with `include_top=True` work with the activation None or 'softmax' only. "
            f"Received: classifier_activation={classifier_activation}. Pass one of these, or `weights=None`."
        )
