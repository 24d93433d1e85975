"""InceptionV3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015)."""

from __future__ import annotations

from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.image_model import (
    Options,
    channels_axis,
    finish,
    head,
    image_input,
    image_model_function,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_DIGESTS = ("9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63")
_Conv = tuple[int, int, int]  # filters, height and width of the kernel


def _conv(
    x: KerasTensor, filters: int, height: int, width: int, padding: str = "same", stride: int = 1
) -> KerasTensor:
    """A convolution with normalization and ReLU."""
    x = layers.Conv2D(filters, (height, width), strides=(stride, stride), padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(axis=channels_axis(), scale=False)(x)
    return layers.Activation("relu")(x)


def _tower(x: KerasTensor, *convs: _Conv) -> KerasTensor:
    for conv in convs:
        x = _conv(x, *conv)
    return x


def _halving_tower(x: KerasTensor, *convs: _Conv) -> KerasTensor:
    """A tower whose last convolution halves the image."""
    return _conv(_tower(x, *convs[:-1]), *convs[-1], padding="valid", stride=2)


def _pool_tower(x: KerasTensor, filters: int) -> KerasTensor:
    x = layers.AveragePooling2D((3, 3), strides=(1, 1), padding="same")(x)
    return _conv(x, filters, 1, 1)


def _halve(x: KerasTensor) -> KerasTensor:
    return layers.MaxPooling2D((3, 3), strides=(2, 2))(x)


def _beside(branches: list[KerasTensor], name: str | None = None) -> KerasTensor:
    return layers.concatenate(branches, axis=channels_axis(), name=name)


def _stem(x: KerasTensor) -> KerasTensor:
    x = _conv(x, 32, 3, 3, "valid", 2)
    x = _conv(x, 32, 3, 3, "valid")
    x = _halve(_conv(x, 64, 3, 3))
    x = _conv(x, 80, 1, 1, "valid")
    return _halve(_conv(x, 192, 3, 3, "valid"))


def _mixed_large(x: KerasTensor, pooled: int, name: str) -> KerasTensor:
    """The block for 35x35 images."""
    return _beside(
        [
            _tower(x, (64, 1, 1)),
            _tower(x, (48, 1, 1), (64, 5, 5)),
            _tower(x, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            _pool_tower(x, pooled),
        ],
        name,
    )


def _mixed_middle(x: KerasTensor, inner: int, name: str) -> KerasTensor:
    """The block for 17x17 images: 7x7 convolutions, each taken apart in 1x7 and 7x1."""
    return _beside(
        [
            _tower(x, (192, 1, 1)),
            _tower(x, (inner, 1, 1), (inner, 1, 7), (192, 7, 1)),
            _tower(x, (inner, 1, 1), (inner, 7, 1), (inner, 1, 7), (inner, 7, 1), (192, 1, 7)),
            _pool_tower(x, 192),
        ],
        name,
    )


def _mixed_small(x: KerasTensor, index: int) -> KerasTensor:
    """The block for 8x8 images: two towers fan out in 1x3 and 3x1."""

    def fan(x: KerasTensor, name: str | None = None) -> KerasTensor:
        return _beside([_conv(x, 384, 1, 3), _conv(x, 384, 3, 1)], name)

    return _beside(
        [
            _tower(x, (320, 1, 1)),
            fan(_tower(x, (384, 1, 1)), f"mixed9_{index}"),
            fan(_tower(x, (448, 1, 1), (384, 3, 3))),
            _pool_tower(x, 192),
        ],
        f"mixed{9 + index}",
    )


def _inception_v3(options: Options) -> Functional:
    options.check()
    image = image_input(options.input_tensor, options.shape(299, min_size=75))
    x = _stem(image)
    for i, pooled in enumerate((32, 64, 64)):
        x = _mixed_large(x, pooled, f"mixed{i}")
    x = _beside(
        [
            _halving_tower(x, (384, 3, 3)),
            _halving_tower(x, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            _halve(x),
        ],
        "mixed3",
    )
    for i, inner in enumerate((128, 160, 160, 192), 4):
        x = _mixed_middle(x, inner, f"mixed{i}")
    x = _beside(
        [
            _halving_tower(x, (192, 1, 1), (320, 3, 3)),
            _halving_tower(x, (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)),
            _halve(x),
        ],
        "mixed8",
    )
    for i in range(2):
        x = _mixed_small(x, i)
    ending = "" if options.include_top else "_notop"
    file = f"inception_v3_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(
        image,
        head(x, options, ("avg_pool", None, None)),
        options,
        lambda: keras_file("inception_v3", file, _DIGESTS[not options.include_top]),
    )


InceptionV3 = image_model_function(
    "InceptionV3", __name__, "inception_v3", "Makes an InceptionV3.", _inception_v3
)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
