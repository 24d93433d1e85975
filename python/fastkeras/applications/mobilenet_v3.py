"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", 2019)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import CachedFile, keras_file
from fastkeras.applications.image_model import (
    Options,
    document,
    finish,
    global_pool,
    image_input,
    last_or_first,
)
from fastkeras.applications.mobile import check_tensor_size, make_divisible, rows_and_columns, tensor_size
from fastkeras.core.config import image_data_format
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_Activation = Callable[[KerasTensor], KerasTensor]
# Digests of the weights with and without the classifier.
_DIGESTS = {
    "large_224_0.75_float": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0_float": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0_float": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75_float": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0_float": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0_float": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}
# Per block: expansion, filters, whether the kernel is 5x5, stride, squeeze and excitation, hard swish (else ReLU).
# The minimalistic models do without the last three refinements.
_Block = tuple[float, int, bool, int, bool, bool]
_SMALL: tuple[_Block, ...] = (
    (1, 16, False, 2, True, False),
    (72 / 16, 24, False, 2, False, False),
    (88 / 24, 24, False, 1, False, False),
    (4, 40, True, 2, True, True),
    (6, 40, True, 1, True, True),
    (6, 40, True, 1, True, True),
    (3, 48, True, 1, True, True),
    (3, 48, True, 1, True, True),
    (6, 96, True, 2, True, True),
    (6, 96, True, 1, True, True),
    (6, 96, True, 1, True, True),
)
_LARGE: tuple[_Block, ...] = (
    (1, 16, False, 1, False, False),
    (4, 24, False, 2, False, False),
    (3, 24, False, 1, False, False),
    (3, 40, True, 2, True, False),
    (3, 40, True, 1, True, False),
    (3, 40, True, 1, True, False),
    (6, 80, False, 2, False, True),
    (2.5, 80, False, 1, False, True),
    (2.3, 80, False, 1, False, True),
    (2.3, 80, False, 1, False, True),
    (6, 112, False, 1, True, True),
    (6, 112, False, 1, True, True),
    (6, 160, True, 2, True, True),
    (6, 160, True, 1, True, True),
    (6, 160, True, 1, True, True),
)


def _relu(x: KerasTensor) -> KerasTensor:
    return layers.ReLU()(x)


def _hard_swish(x: KerasTensor) -> KerasTensor:
    return layers.Activation("hard_swish")(x)


def _normalize(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=last_or_first(), epsilon=1e-3, momentum=0.999, name=name)(x)


def _conv(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """A 1x1 convolution with normalization."""
    return layers.Conv2D(filters, 1, padding="same", use_bias=False, name=name)(x)


def _squeeze_and_excite(x: KerasTensor, channels: int, prefix: str) -> KerasTensor:
    factors = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}squeeze_excite_avg_pool")(x)
    factors = layers.Conv2D(
        make_divisible(channels * 0.25), 1, padding="same", name=f"{prefix}squeeze_excite_conv"
    )(factors)
    factors = layers.ReLU(name=f"{prefix}squeeze_excite_relu")(factors)
    factors = layers.Conv2D(channels, 1, padding="same", name=f"{prefix}squeeze_excite_conv_1")(factors)
    factors = layers.ReLU(6.0)(factors + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{prefix}squeeze_excite_mul")([x, factors])


def _block(
    inputs: KerasTensor,
    index: int,
    expansion: float,
    filters: int,
    kernel: int,
    stride: int,
    squeeze: bool,
    activation: _Activation,
) -> KerasTensor:
    """An inverted residual with squeeze and excitation."""
    x, channels = inputs, inputs.shape[last_or_first()]
    expanded = make_divisible(channels * expansion)
    prefix = f"expanded_conv_{index}_" if index else "expanded_conv_"
    if index:
        x = activation(_normalize(_conv(x, expanded, f"{prefix}expand"), f"{prefix}expand_bn"))
    if stride == 2:
        x = layers.ZeroPadding2D(imagenet_utils.correct_pad(x, kernel), name=f"{prefix}depthwise_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{prefix}depthwise",
    )(x)
    x = activation(_normalize(x, f"{prefix}depthwise_bn"))
    if squeeze:
        x = _squeeze_and_excite(x, expanded, prefix)
    x = _normalize(_conv(x, filters, f"{prefix}project"), f"{prefix}project_bn")
    if stride == 1 and channels == filters:
        return layers.Add(name=f"{prefix}add")([inputs, x])
    return x


def _image_shape(options: Options) -> tuple[int | None, ...]:
    check_tensor_size(options.input_tensor, options.input_shape)
    shape = options.input_shape
    if shape is None:
        unknown = (3, None, None) if image_data_format() == "channels_first" else (None, None, 3)
        shape = tensor_size(options.input_tensor) or unknown
    rows, columns = rows_and_columns(shape)
    if rows and columns and min(rows, columns) < 32:
        raise ValueError(
            f"Input size must be at least 32x32. Received: input_shape={shape}. Enlarge the images."
        )
    return tuple(shape)


def _weights_file(kind: str, alpha: float, minimalistic: bool, include_top: bool) -> CachedFile:
    name = f"{kind}{'_minimalistic' if minimalistic else ''}_224_{float(alpha)}_float"
    file = f"weights_mobilenet_v3_{name}{'' if include_top else '_no_top_v2'}.h5"
    return keras_file("mobilenet_v3", file, _DIGESTS[name][not include_top])


def _mobilenet_v3(
    options: Options,
    kind: str,
    blocks: tuple[_Block, ...],
    last: int,
    alpha: float,
    minimalistic: bool,
    dropout_rate: float,
    include_preprocessing: bool,
) -> Functional:
    options.check()
    shape = _image_shape(options)
    if options.weights == "imagenet":
        if alpha not in ((1.0,) if minimalistic else (0.75, 1.0)):
            raise ValueError(
                "There are ImageNet weights for `alpha` of 0.75 and 1.0 only, and of 1.0 for minimalistic models. "
                f"Received: alpha={alpha}, minimalistic={minimalistic}. Use one of these, or `weights=None`."
            )
        if rows_and_columns(shape) != (224, 224):
            warnings.warn(
                "The images are not of 224x224: the weights for this size are loaded.", stacklevel=3
            )
    activation = _relu if minimalistic else _hard_swish
    image = x = image_input(options.input_tensor, shape)
    if include_preprocessing:
        x = layers.Rescaling(scale=1.0 / 127.5, offset=-1.0)(x)
    x = layers.Conv2D(16, 3, strides=(2, 2), padding="same", use_bias=False, name="conv")(x)
    x = activation(_normalize(x, "conv_bn"))
    for i, (expansion, filters, large, stride, squeeze, swish) in enumerate(blocks):
        kernel = 5 if large and not minimalistic else 3
        chosen = activation if swish else _relu
        filters = make_divisible(filters * alpha)
        x = _block(x, i, expansion, filters, kernel, stride, squeeze and not minimalistic, chosen)
    x = _conv(x, make_divisible(x.shape[last_or_first()] * 6), "conv_1")
    x = activation(_normalize(x, "conv_1_bn"))
    if options.include_top:
        # The layer before the classifier grows with alpha, but does not shrink.
        last = make_divisible(last * alpha) if alpha > 1.0 else last
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = activation(layers.Conv2D(last, 1, padding="same", name="conv_2")(x))
        if dropout_rate > 0:
            x = layers.Dropout(dropout_rate)(x)
        x = layers.Conv2D(options.classes, 1, padding="same", name="logits")(x)
        x = layers.Flatten()(x)
        x = layers.Activation(options.classifier_activation, name="predictions")(x)
    else:
        x = global_pool(x, options.pooling, ("avg_pool", "max_pool"))
    return finish(image, x, options, lambda: _weights_file(kind, alpha, minimalistic, options.include_top))


def _model(size: str, blocks: tuple[_Block, ...], last: int) -> Any:
    public_name = f"MobileNetV3{size}"

    def function(
        input_shape: tuple[int | None, ...] | None = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: KerasTensor | None = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = public_name,
    ) -> Functional:
        options = Options(
            include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        return _mobilenet_v3(
            options, size.lower(), blocks, last, alpha, minimalistic, dropout_rate, include_preprocessing
        )

    summary = (
        f"Makes a {public_name}, `alpha` times as wide as in the paper; minimalistic ones use plain ReLU and 3x3 "
        "kernels only. It scales pixels in [0, 255] itself unless `include_preprocessing=False`."
    )
    return document(function, public_name, "fastkeras.applications", summary)


MobileNetV3Small = _model("Small", _SMALL, 1024)
MobileNetV3Large = _model("Large", _LARGE, 1280)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x`: the model scales pixels in [0, 255] itself."""
    return x


decode_predictions = imagenet_utils.decode_predictions
