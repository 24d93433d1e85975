"""MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018)."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.image_model import (
    Options,
    document,
    finish,
    head,
    image_input,
    last_or_first,
)
from fastkeras.applications.mobile import (
    check_tensor_size,
    make_divisible,
    rows_and_columns,
    square_size,
    tensor_size,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_SIZES = (96, 128, 160, 192, 224)
_ALPHAS = (0.35, 0.50, 0.75, 1.0, 1.3, 1.4)
# Filters, stride of the first block and number of blocks of each stage; all but the first expand six times.
_STAGES = ((16, 1, 1), (24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1))


def MobileNetV2(  # noqa: N802 - the public name is Keras'
    input_shape: tuple[int | None, ...] | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Functional:
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
    )
    options.check()
    check_tensor_size(input_tensor, input_shape)
    sizes = tensor_size(input_tensor) if input_shape is None else input_shape
    shape = options.shape(square_size(sizes, _SIZES) or 224)
    rows = rows_and_columns(shape)[0]
    if weights == "imagenet":
        if alpha not in _ALPHAS:
            raise ValueError(
                f"There are ImageNet weights for `alpha` of {_ALPHAS} only. Received: alpha={alpha}. Use one of these, "
                "or `weights=None`."
            )
        if square_size(shape, _SIZES) is None:
            rows = 224
            warnings.warn(
                f"The images are not squares of a size in {_SIZES}: the weights for 224x224 are loaded.",
                stacklevel=2,
            )

    image = image_input(input_tensor, shape)
    x = layers.Conv2D(
        make_divisible(32 * alpha), 3, strides=(2, 2), padding="same", use_bias=False, name="Conv1"
    )(image)
    x = _normalize(x, "bn_Conv1")
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    block = 0
    for filters, stride, repeats in _STAGES:
        for j in range(repeats):
            x = _block(x, make_divisible(int(filters * alpha)), stride if j == 0 else 1, block)
            block += 1
    # The last convolution grows with alpha, but does not shrink.
    last = make_divisible(1280 * alpha) if alpha > 1.0 else 1280
    x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
    x = _normalize(x, "Conv_1_bn")
    x = layers.ReLU(6.0, name="out_relu")(x)
    ending = "" if include_top else "_no_top"
    return finish(
        image,
        head(x, options, (None, None, None)),
        options,
        lambda: keras_file(
            "mobilenet_v2",
            f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}{ending}.h5",
        ),
        name=f"mobilenetv2_{alpha:0.2f}_{rows}" if name is None else name,
    )


document(MobileNetV2, "MobileNetV2", __name__, "Makes a MobileNetV2, `alpha` times as wide as in the paper.")


def _normalize(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=last_or_first(), epsilon=1e-3, momentum=0.999, name=name)(x)


def _block(x: KerasTensor, filters: int, stride: int, index: int) -> KerasTensor:
    """An inverted residual: 1x1 to six times the channels, depthwise 3x3, linear 1x1 down."""
    inputs, channels = x, x.shape[last_or_first()]
    prefix = f"block_{index}_" if index else "expanded_conv_"
    if index:
        x = layers.Conv2D(6 * channels, 1, padding="same", use_bias=False, name=f"{prefix}expand")(x)
        x = _normalize(x, f"{prefix}expand_BN")
        x = layers.ReLU(6.0, name=f"{prefix}expand_relu")(x)
    if stride == 2:
        x = layers.ZeroPadding2D(imagenet_utils.correct_pad(x, 3), name=f"{prefix}pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{prefix}depthwise",
    )(x)
    x = _normalize(x, f"{prefix}depthwise_BN")
    x = layers.ReLU(6.0, name=f"{prefix}depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(x)
    x = _normalize(x, f"{prefix}project_BN")
    if channels == filters and stride == 1:
        return layers.Add(name=f"{prefix}add")([inputs, x])
    return x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
