"""Xception (Chollet, "Deep Learning with Depthwise Separable Convolutions", 2016)."""

from __future__ import annotations

from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.image_model import (
    Options,
    finish,
    head,
    image_input,
    image_model_function,
    last_or_first,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_DIGESTS = ("0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97")


def _normalize(x: KerasTensor, name: str | None = None) -> KerasTensor:
    return layers.BatchNormalization(axis=last_or_first(), name=name)(x)


def _separable(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    x = layers.SeparableConv2D(filters, (3, 3), padding="same", use_bias=False, name=name)(x)
    return _normalize(x, f"{name}_bn")


def _relu(x: KerasTensor, name: str) -> KerasTensor:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _halving_block(x: KerasTensor, index: int, first: int, second: int) -> KerasTensor:
    """Two separable convolutions and pooling, beside a strided 1x1 convolution."""
    residual = layers.Conv2D(second, (1, 1), strides=(2, 2), padding="same", use_bias=False)(x)
    residual = _normalize(residual)
    if index > 2:  # the input of the first one is activated already
        x = _relu(x, f"block{index}_sepconv1")
    x = _separable(x, first, f"block{index}_sepconv1")
    x = _relu(x, f"block{index}_sepconv2")
    x = _separable(x, second, f"block{index}_sepconv2")
    x = layers.MaxPooling2D((3, 3), strides=(2, 2), padding="same", name=f"block{index}_pool")(x)
    return layers.add([x, residual])


def _middle_block(x: KerasTensor, index: int) -> KerasTensor:
    """Three separable convolutions of 728 channels beside the input."""
    residual = x
    for j in (1, 2, 3):
        x = _relu(x, f"block{index}_sepconv{j}")
        x = _separable(x, 728, f"block{index}_sepconv{j}")
    return layers.add([x, residual])


def _xception(options: Options) -> Functional:
    options.check()
    image = image_input(options.input_tensor, options.shape(299, min_size=71))
    x = layers.Conv2D(32, (3, 3), strides=(2, 2), use_bias=False, name="block1_conv1")(image)
    x = _relu(_normalize(x, "block1_conv1_bn"), "block1_conv1")
    x = layers.Conv2D(64, (3, 3), use_bias=False, name="block1_conv2")(x)
    x = _relu(_normalize(x, "block1_conv2_bn"), "block1_conv2")
    for index, filters in ((2, 128), (3, 256), (4, 728)):
        x = _halving_block(x, index, filters, filters)
    for index in range(5, 13):
        x = _middle_block(x, index)
    x = _halving_block(x, 13, 728, 1024)
    for j, filters in ((1, 1536), (2, 2048)):
        x = _relu(_separable(x, filters, f"block14_sepconv{j}"), f"block14_sepconv{j}")
    ending = "" if options.include_top else "_notop"
    file = f"xception_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(
        image,
        head(x, options, ("avg_pool", None, None)),
        options,
        lambda: keras_file("xception", file, _DIGESTS[not options.include_top]),
    )


Xception = image_model_function("Xception", __name__, "xception", "Makes an Xception.", _xception)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
