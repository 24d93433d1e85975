"""InceptionResNetV2 (Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections", 2016)."""

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
from fastkeras.layers.layer import Layer
from fastkeras.models import Functional

_DIGESTS = ("e693bd0210a403b3192acc6073ad2e96", "d19885ff4a710c122648d3b5c3b684e4")
_Conv = tuple[int, Any]  # filters, kernel
# Of the three kinds of residual blocks: the towers.
_BLOCKS: dict[str, tuple[tuple[_Conv, ...], ...]] = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


class CustomScaleLayer(Layer):
    """Adds a scaled tensor to another.

    Args:
        scale: the factor of the second tensor.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Shapes: two tensors of the same shape -> that shape.

    Example: `CustomScaleLayer(0.5)([numpy.ones((1, 2)), numpy.ones((1, 2))])` is 1.5 everywhere.
    """

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}

    def call(self, inputs: Any) -> Any:
        return inputs[0] + inputs[1] * self.scale


def _conv(
    x: KerasTensor,
    filters: int,
    kernel: Any,
    stride: int = 1,
    padding: str = "same",
    name: str | None = None,
) -> KerasTensor:
    """A convolution with normalization and ReLU."""
    x = layers.Conv2D(filters, kernel, strides=stride, padding=padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(axis=channels_axis(), scale=False, name=name and f"{name}_bn")(x)
    return layers.Activation("relu", name=name and f"{name}_ac")(x)


def _tower(x: KerasTensor, *convs: _Conv) -> KerasTensor:
    for filters, kernel in convs:
        x = _conv(x, filters, kernel)
    return x


def _halving_tower(x: KerasTensor, *convs: _Conv) -> KerasTensor:
    """A tower whose last convolution halves the image."""
    return _conv(_tower(x, *convs[:-1]), *convs[-1], stride=2, padding="valid")


def _halve(x: KerasTensor) -> KerasTensor:
    return layers.MaxPooling2D(3, strides=2)(x)


def _beside(branches: list[KerasTensor], name: str) -> KerasTensor:
    return layers.Concatenate(axis=channels_axis(), name=name)(branches)


def _block(x: KerasTensor, kind: str, index: int, scale: float, activate: bool = True) -> KerasTensor:
    """Towers side by side, brought back to the channels of the input and added to it with a small factor."""
    name = f"{kind}_{index}"
    mixed = _beside([_tower(x, *convs) for convs in _BLOCKS[kind]], f"{name}_mixed")
    up = layers.Conv2D(x.shape[channels_axis()], 1, padding="same", name=f"{name}_conv")(mixed)
    x = CustomScaleLayer(scale)([x, up])
    return layers.Activation("relu", name=f"{name}_ac")(x) if activate else x


def _stem(x: KerasTensor) -> KerasTensor:
    x = _conv(x, 32, 3, 2, "valid")
    x = _conv(x, 32, 3, padding="valid")
    x = _halve(_conv(x, 64, 3))
    x = _conv(x, 80, 1, padding="valid")
    x = _halve(_conv(x, 192, 3, padding="valid"))
    branches = [_tower(x, (96, 1)), _tower(x, (48, 1), (64, 5)), _tower(x, (64, 1), (96, 3), (96, 3))]
    pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return _beside([*branches, _conv(pooled, 64, 1)], "mixed_5b")


def _inception_resnet_v2(options: Options) -> Functional:
    options.check()
    image = image_input(options.input_tensor, options.shape(299, min_size=75))
    x = _stem(image)
    for i in range(1, 11):
        x = _block(x, "block35", i, 0.17)
    x = _beside(
        [_halving_tower(x, (384, 3)), _halving_tower(x, (256, 1), (256, 3), (384, 3)), _halve(x)],
        "mixed_6a",
    )
    for i in range(1, 21):
        x = _block(x, "block17", i, 0.1)
    x = _beside(
        [
            _halving_tower(x, (256, 1), (384, 3)),
            _halving_tower(x, (256, 1), (288, 3)),
            _halving_tower(x, (256, 1), (288, 3), (320, 3)),
            _halve(x),
        ],
        "mixed_7a",
    )
    for i in range(1, 10):
        x = _block(x, "block8", i, 0.2)
    x = _block(x, "block8", 10, 1.0, activate=False)
    x = _conv(x, 1536, 1, name="conv_7b")
    ending = "" if options.include_top else "_notop"
    file = f"inception_resnet_v2_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(
        image,
        head(x, options, ("avg_pool", None, None)),
        options,
        lambda: keras_file("inception_resnet_v2", file, _DIGESTS[not options.include_top]),
    )


InceptionResNetV2 = image_model_function(
    "InceptionResNetV2", __name__, "inception_resnet_v2", "Makes an InceptionResNetV2.", _inception_resnet_v2
)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
