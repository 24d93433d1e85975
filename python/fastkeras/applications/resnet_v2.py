"""ResNetV2 (He et al., "Identity Mappings in Deep Residual Networks", 2016): activations before the convolutions."""

from __future__ import annotations

from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.image_model import Options, image_model_function
from fastkeras.applications.resnet import normalize_relu, resnet
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional


def _block(x: KerasTensor, filters: int, stride: int, project: bool, name: str) -> KerasTensor:
    """A bottleneck whose input is normalized first, and whose sum is left as it is."""
    active = normalize_relu(x, f"{name}_preact_bn", f"{name}_preact_relu")
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(active)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x)
    else:
        shortcut = x
    x = layers.Conv2D(filters, 1, strides=1, use_bias=False, name=f"{name}_1_conv")(active)
    x = normalize_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.ZeroPadding2D(((1, 1), (1, 1)), name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(x)
    x = normalize_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _model(public_name: str, name: str, summary: str, depths: tuple[int, int, int, int]) -> Any:
    def stacks(x: KerasTensor) -> KerasTensor:
        for i, depth in enumerate(depths):
            for j in range(depth):
                # The last block of a stack halves the image, except in the last stack.
                stride = 2 if j == depth - 1 and i < len(depths) - 1 else 1
                x = _block(x, 64 << i, stride, j == 0, f"conv{i + 2}_block{j + 1}")
        return x

    def make(options: Options) -> Functional:
        return resnet(options, name, stacks, preactivated=True)

    return image_model_function(public_name, __name__, name, summary, make)


ResNet50V2 = _model("ResNet50V2", "resnet50v2", "Makes a ResNetV2 of 50 layers.", (3, 4, 6, 3))
ResNet101V2 = _model("ResNet101V2", "resnet101v2", "Makes a ResNetV2 of 101 layers.", (3, 4, 23, 3))
ResNet152V2 = _model("ResNet152V2", "resnet152v2", "Makes a ResNetV2 of 152 layers.", (3, 8, 36, 3))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
