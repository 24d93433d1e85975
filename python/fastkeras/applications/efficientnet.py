"""EfficientNet (Tan and Le, "Rethinking Model Scaling for Convolutional Neural Networks", 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastkeras import initializers, layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import CachedFile
from fastkeras.applications.image_model import (
    Options,
    channels_axis,
    finish,
    head,
    image_input,
    image_model_function,
)
from fastkeras.applications.mobile import make_divisible
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

# Kernel, number of blocks, input and output filters, expansion and stride of each stage of B0.
_STAGES = (
    (3, 1, 32, 16, 1, 1),
    (3, 2, 16, 24, 6, 2),
    (5, 2, 24, 40, 6, 2),
    (3, 3, 40, 80, 6, 2),
    (5, 3, 80, 112, 6, 1),
    (5, 4, 112, 192, 6, 2),
    (3, 1, 192, 320, 6, 1),
)
_DROP_CONNECT = 0.2
_SQUEEZE = 0.25
_DEVIATIONS = (0.229, 0.224, 0.225)
_FILES = "https://storage.googleapis.com/keras-applications/"


@dataclass(frozen=True)
class _Variant:
    """How B0 is scaled, and the digests of the weights with and without the classifier."""

    width: float
    depth: float
    size: int
    dropout: float
    digests: tuple[str, str]


def conv_initializer() -> initializers.Initializer:
    """Returns the initializer of convolutions."""
    return initializers.VarianceScaling(scale=2.0, mode="fan_out", distribution="truncated_normal")


def dense_initializer() -> initializers.Initializer:
    """Returns the initializer of the classifier."""
    return initializers.VarianceScaling(scale=1.0 / 3.0, mode="fan_out", distribution="uniform")


def conv(x: KerasTensor, filters: int, kernel: int, name: str, **options: Any) -> KerasTensor:
    """A convolution, padded and without a bias unless the options say otherwise."""
    options = {"padding": "same", "use_bias": False, **options}
    return layers.Conv2D(filters, kernel, kernel_initializer=conv_initializer(), name=name, **options)(x)


def squeeze_and_excite(
    x: KerasTensor, channels: int, squeezed: int, activation: Any, name: str
) -> KerasTensor:
    """Scales each channel by a factor computed from the means of all.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        channels: number of its channels.
        squeezed: number of channels in between.
        activation: activation of these.
        name: prefix of the names of the layers.
    """
    shape = (channels, 1, 1) if channels_axis() == 1 else (1, 1, channels)
    factors = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    factors = layers.Reshape(shape, name=f"{name}se_reshape")(factors)
    factors = conv(factors, squeezed, 1, f"{name}se_reduce", activation=activation, use_bias=True)
    factors = conv(factors, channels, 1, f"{name}se_expand", activation="sigmoid", use_bias=True)
    return layers.multiply([x, factors], name=f"{name}se_excite")


def residual(x: KerasTensor, inputs: KerasTensor, drop: float, name: str) -> KerasTensor:
    """Adds the input of a block to its output, which training leaves out in a fraction `drop` of the samples."""
    if drop > 0:
        x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.add([x, inputs], name=f"{name}add")


def _normalize(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=channels_axis(), name=name)(x)


def _normalize_activate(x: KerasTensor, bn_name: str, activation_name: str) -> KerasTensor:
    return layers.Activation("swish", name=activation_name)(_normalize(x, bn_name))


def _block(
    inputs: KerasTensor,
    kernel: int,
    filters_in: int,
    filters_out: int,
    expansion: int,
    stride: int,
    drop: float,
    name: str,
) -> KerasTensor:
    """An inverted residual with squeeze and excitation."""
    x, channels = inputs, filters_in * expansion
    if expansion != 1:
        x = conv(x, channels, 1, f"{name}expand_conv")
        x = _normalize_activate(x, f"{name}expand_bn", f"{name}expand_activation")
    if stride == 2:
        x = layers.ZeroPadding2D(imagenet_utils.correct_pad(x, kernel), name=f"{name}dwconv_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="valid" if stride == 2 else "same",
        use_bias=False,
        depthwise_initializer=conv_initializer(),
        name=f"{name}dwconv",
    )(x)
    x = _normalize_activate(x, f"{name}bn", f"{name}activation")
    x = squeeze_and_excite(x, channels, max(1, int(filters_in * _SQUEEZE)), "swish", name)
    x = conv(x, filters_out, 1, f"{name}project_conv")
    x = _normalize(x, f"{name}project_bn")
    if stride == 1 and filters_in == filters_out:
        return residual(x, inputs, drop, name)
    return x


def _efficientnet(options: Options, variant_name: str, variant: _Variant) -> Functional:
    options.check()
    image = image_input(options.input_tensor, options.shape(variant.size))

    def width(filters: int) -> int:
        return make_divisible(filters * variant.width)

    x = layers.Rescaling(1.0 / 255.0)(image)
    x = layers.Normalization(axis=channels_axis())(x)
    if options.weights == "imagenet":
        # The normalization that comes with the weights divides by the deviation's square root only.
        x = layers.Rescaling([1.0 / math.sqrt(deviation) for deviation in _DEVIATIONS])(x)
    x = layers.ZeroPadding2D(imagenet_utils.correct_pad(x, 3), name="stem_conv_pad")(x)
    x = conv(x, width(32), 3, "stem_conv", strides=2, padding="valid")
    x = _normalize_activate(x, "stem_bn", "stem_activation")

    depths = [math.ceil(variant.depth * stage[1]) for stage in _STAGES]
    done = 0
    for i, (kernel, _, filters_in, filters_out, expansion, stride) in enumerate(_STAGES):
        inputs, outputs = width(filters_in), width(filters_out)
        for j in range(depths[i]):
            drop = _DROP_CONNECT * done / float(sum(depths))
            name = f"block{i + 1}{chr(ord('a') + j)}_"
            if j:
                inputs, stride = outputs, 1
            x = _block(x, kernel, inputs, outputs, expansion, stride, drop, name)
            done += 1

    x = conv(x, width(1280), 1, "top_conv")
    x = _normalize_activate(x, "top_bn", "top_activation")
    x = classifier(x, options, variant.dropout)
    ending = "" if options.include_top else "_notop"
    file = f"{variant_name}{ending}.h5"
    digest = variant.digests[not options.include_top]
    return finish(image, x, options, lambda: CachedFile(file, _FILES + file, digest))


def classifier(x: KerasTensor, options: Options, dropout: float, **dense: Any) -> KerasTensor:
    """Puts the classifier on, with dropout below it, or the pooling that was asked for."""
    if not options.include_top:
        return head(x, options)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(dropout, name="top_dropout")(x)
    return layers.Dense(
        options.classes,
        activation=options.classifier_activation,
        kernel_initializer=dense_initializer(),
        name="predictions",
        **dense,
    )(x)


def _model(number: int, width: float, depth: float, size: int, dropout: float, *digests: str) -> Any:
    name = f"efficientnetb{number}"
    variant = _Variant(width, depth, size, dropout, (digests[0], digests[1]))
    summary = f"Makes an EfficientNet-B{number}, which scales pixels in [0, 255] itself."
    return image_model_function(
        f"EfficientNetB{number}",
        __name__,
        name,
        summary,
        lambda options: _efficientnet(options, name, variant),
    )


EfficientNetB0 = _model(
    0, 1.0, 1.0, 224, 0.2, "902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"
)
EfficientNetB1 = _model(
    1, 1.0, 1.1, 240, 0.2, "1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"
)
EfficientNetB2 = _model(
    2, 1.1, 1.2, 260, 0.3, "b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"
)
EfficientNetB3 = _model(
    3, 1.2, 1.4, 300, 0.3, "ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"
)
EfficientNetB4 = _model(
    4, 1.4, 1.8, 380, 0.4, "18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"
)
EfficientNetB5 = _model(
    5, 1.6, 2.2, 456, 0.4, "ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"
)
EfficientNetB6 = _model(
    6, 1.8, 2.6, 528, 0.5, "165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"
)
EfficientNetB7 = _model(
    7, 2.0, 3.1, 600, 0.5, "8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"
)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x`: the model scales pixels in [0, 255] itself."""
    return x


decode_predictions = imagenet_utils.decode_predictions
