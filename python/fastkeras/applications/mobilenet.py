"""MobileNet (Howard et al., "Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017)."""

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
    global_pool,
    image_input,
    last_or_first,
)
from fastkeras.applications.mobile import rows_and_columns, square_size
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_SIZES = (128, 160, 192, 224)
_ALPHAS = {1.0: "1_0", 0.75: "7_5", 0.50: "5_0", 0.25: "2_5"}
# Filters and stride of each block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def MobileNet(  # noqa: N802 - the public name is Keras'
    input_shape: tuple[int | None, ...] | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
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
    shape = options.shape(square_size(input_shape, _SIZES) or 224)
    rows = rows_and_columns(shape)[0]
    if weights == "imagenet":
        if depth_multiplier != 1 or alpha not in _ALPHAS:
            raise ValueError(
                f"There are ImageNet weights for `depth_multiplier=1` and `alpha` of {tuple(_ALPHAS)} only. Received: "
                f"depth_multiplier={depth_multiplier}, alpha={alpha}. Use these, or `weights=None`."
            )
        if square_size(shape, _SIZES) is None:
            rows = 224
            warnings.warn(
                f"The images are not squares of a size in {_SIZES}: the weights for 224x224 are loaded.",
                stacklevel=2,
            )

    image = image_input(input_tensor, shape)
    x = layers.Conv2D(int(32 * alpha), (3, 3), padding="same", use_bias=False, strides=(2, 2), name="conv1")(
        image
    )
    x = _normalize_relu(x, "conv1")
    for i, (filters, stride) in enumerate(_BLOCKS, 1):
        x = _block(x, int(filters * alpha), depth_multiplier, stride, i)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, (1, 1), padding="same", name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        x = layers.Activation(classifier_activation, name="predictions")(x)
    else:
        x = global_pool(x, pooling)
    ending = "" if include_top else "_no_top"
    return finish(
        image,
        x,
        options,
        lambda: keras_file("mobilenet", f"mobilenet_{_ALPHAS[alpha]}_{rows}_tf{ending}.h5"),
        name=f"mobilenet_{alpha:0.2f}_{rows}" if name is None else name,
    )


document(MobileNet, "MobileNet", __name__, "Makes a MobileNet, `alpha` times as wide as in the paper.")


def _normalize_relu(x: KerasTensor, name: str) -> KerasTensor:
    x = layers.BatchNormalization(axis=last_or_first(), name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _block(x: KerasTensor, filters: int, depth_multiplier: int, stride: int, index: int) -> KerasTensor:
    """A separable convolution, with normalization and ReLU after both of its parts."""
    if stride > 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{index}")(x)
    x = layers.DepthwiseConv2D(
        (3, 3),
        padding="valid" if stride > 1 else "same",
        depth_multiplier=depth_multiplier,
        strides=(stride, stride),
        use_bias=False,
        name=f"conv_dw_{index}",
    )(x)
    x = _normalize_relu(x, f"conv_dw_{index}")
    x = layers.Conv2D(filters, (1, 1), padding="same", use_bias=False, name=f"conv_pw_{index}")(x)
    return _normalize_relu(x, f"conv_pw_{index}")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
