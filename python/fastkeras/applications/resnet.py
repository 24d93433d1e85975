"""ResNet (He et al., "Deep Residual Learning for Image Recognition", 2015), and what ResNetV2 shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import CachedFile, keras_file
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

# Digests of the weights with and without the classifier.
_DIGESTS = {
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "resnet50v2": ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
    "resnet101v2": ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152v2": ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
}
_EPSILON = 1.001e-5


def resnet(
    options: Options, weights_name: str, stacks: Callable[[KerasTensor], KerasTensor], *, preactivated: bool
) -> Functional:
    """Makes a ResNet: a strided 7x7 convolution and pooling, stacks of residual blocks, the head.

    Args:
        options: the arguments of the model.
        weights_name: the model's name in the names of weights files.
        stacks: the stacks of blocks.
        preactivated: whether normalization and activation come before the convolutions (ResNetV2).
    """
    options.check()
    image = image_input(options.input_tensor, options.shape(224))
    x = layers.ZeroPadding2D(((3, 3), (3, 3)), name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    if not preactivated:
        x = normalize_relu(x, "conv1_bn", "conv1_relu")
    x = layers.ZeroPadding2D(((1, 1), (1, 1)), name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    x = stacks(x)
    if preactivated:
        x = normalize_relu(x, "post_bn", "post_relu")
    return finish(image, head(x, options), options, lambda: _weights_file(weights_name, options.include_top))


def _weights_file(name: str, include_top: bool) -> CachedFile:
    top, no_top = _DIGESTS[name]
    ending = "" if include_top else "_notop"
    return keras_file(
        "resnet", f"{name}_weights_tf_dim_ordering_tf_kernels{ending}.h5", top if include_top else no_top
    )


def normalize(x: KerasTensor, name: str) -> KerasTensor:
    """Batch normalization."""
    return layers.BatchNormalization(axis=channels_axis(), epsilon=_EPSILON, name=name)(x)


def normalize_relu(x: KerasTensor, bn_name: str, relu_name: str) -> KerasTensor:
    """Batch normalization and ReLU."""
    return layers.Activation("relu", name=relu_name)(normalize(x, bn_name))


def _block(x: KerasTensor, filters: int, stride: int, project: bool, name: str) -> KerasTensor:
    """A bottleneck: 1x1 down, 3x3, 1x1 up to four times the filters, added to the input or its projection."""
    shortcut = x
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = normalize(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = normalize_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = normalize_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = normalize(x, f"{name}_3_bn")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _model(public_name: str, name: str, summary: str, depths: tuple[int, int, int, int]) -> Any:
    def stacks(x: KerasTensor) -> KerasTensor:
        for i, depth in enumerate(depths):
            for j in range(depth):
                first = j == 0
                stride = 2 if first and i > 0 else 1
                x = _block(x, 64 << i, stride, first, f"conv{i + 2}_block{j + 1}")
        return x

    def make(options: Options) -> Functional:
        return resnet(options, name, stacks, preactivated=False)

    return image_model_function(public_name, __name__, name, summary, make)


ResNet50 = _model("ResNet50", "resnet50", "Makes a ResNet of 50 layers.", (3, 4, 6, 3))
ResNet101 = _model("ResNet101", "resnet101", "Makes a ResNet of 101 layers.", (3, 4, 23, 3))
ResNet152 = _model("ResNet152", "resnet152", "Makes a ResNet of 152 layers.", (3, 8, 36, 3))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] as ResNet was trained: `imagenet_utils.preprocess_input` with mode "caffe"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="caffe")


decode_predictions = imagenet_utils.decode_predictions
