"""DenseNet (Huang et al., "Densely Connected Convolutional Networks", 2016)."""

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
    refuse_channels_first,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_GROWTH = 32
# Number of layers of each block, and the digests of the weights with and without the classifier.
_VARIANTS = {
    "densenet121": ((6, 12, 24, 16), "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
    "densenet169": ((6, 12, 32, 32), "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "densenet201": ((6, 12, 48, 32), "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
}


def _normalize_relu(x: KerasTensor, bn_name: str, relu_name: str) -> KerasTensor:
    x = layers.BatchNormalization(axis=channels_axis(), epsilon=1.001e-5, name=bn_name)(x)
    return layers.Activation("relu", name=relu_name)(x)


def _layer(x: KerasTensor, name: str) -> KerasTensor:
    """1x1 and 3x3 convolutions, each after its activation, whose result is put beside the input."""
    new = _normalize_relu(x, f"{name}_0_bn", f"{name}_0_relu")
    new = layers.Conv2D(4 * _GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(new)
    new = _normalize_relu(new, f"{name}_1_bn", f"{name}_1_relu")
    new = layers.Conv2D(_GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(new)
    return layers.Concatenate(axis=channels_axis(), name=f"{name}_concat")([x, new])


def _transition(x: KerasTensor, name: str) -> KerasTensor:
    """Halves the channels and the image."""
    x = _normalize_relu(x, f"{name}_bn", f"{name}_relu")
    x = layers.Conv2D(x.shape[channels_axis()] // 2, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def _densenet(options: Options, variant: str) -> Functional:
    refuse_channels_first("DenseNet")
    options.check()
    depths, *digests = _VARIANTS[variant]
    image = image_input(options.input_tensor, options.shape(224))
    x = layers.ZeroPadding2D(((3, 3), (3, 3)))(image)
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = _normalize_relu(x, "conv1_bn", "conv1_relu")
    x = layers.ZeroPadding2D(((1, 1), (1, 1)))(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for i, depth in enumerate(depths, 2):
        for j in range(1, depth + 1):
            x = _layer(x, f"conv{i}_block{j}")
        if i <= len(depths):
            x = _transition(x, f"pool{i}")
    x = _normalize_relu(x, "bn", "relu")
    ending = "" if options.include_top else "_notop"
    file = f"{variant}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(
        image,
        head(x, options),
        options,
        lambda: keras_file("densenet", file, digests[not options.include_top]),
    )


def _model(public_name: str, variant: str, summary: str) -> Any:
    return image_model_function(
        public_name, __name__, variant, summary, lambda options: _densenet(options, variant)
    )


DenseNet121 = _model("DenseNet121", "densenet121", "Makes a DenseNet of 121 layers.")
DenseNet169 = _model("DenseNet169", "densenet169", "Makes a DenseNet of 169 layers.")
DenseNet201 = _model("DenseNet201", "densenet201", "Makes a DenseNet of 201 layers.")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] as DenseNet was trained: `imagenet_utils.preprocess_input` with mode "torch"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="torch")


decode_predictions = imagenet_utils.decode_predictions
