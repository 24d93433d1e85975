"""EfficientNetV2 (Tan and Le, "Smaller Models and Faster Training", 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastkeras import initializers, layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.efficientnet import (
    classifier,
    conv,
    conv_initializer,
    residual,
    squeeze_and_excite,
)
from fastkeras.applications.image_model import (
    Options,
    channels_axis,
    document,
    finish,
    image_input,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional

_DROP_CONNECT = 0.2
_DROPOUT = 0.2
_BN_MOMENTUM = 0.9
_MEANS = (0.485, 0.456, 0.406)
_DEVIATIONS = (0.229, 0.224, 0.225)
# Per stage: number of blocks, input and output filters, expansion, squeeze-and-excitation ratio (0: none), stride, and
# whether expansion and depthwise convolution are fused. All kernels are 3x3.
_Stage = tuple[int, int, int, int, float, int, bool]
_B: tuple[_Stage, ...] = (
    (1, 32, 16, 1, 0, 1, True),
    (2, 16, 32, 4, 0, 2, True),
    (2, 32, 48, 4, 0, 2, True),
    (3, 48, 96, 4, 0.25, 2, False),
    (5, 96, 112, 6, 0.25, 1, False),
    (8, 112, 192, 6, 0.25, 2, False),
)
_S: tuple[_Stage, ...] = (
    (2, 24, 24, 1, 0, 1, True),
    (4, 24, 48, 4, 0, 2, True),
    (4, 48, 64, 4, 0, 2, True),
    (6, 64, 128, 4, 0.25, 2, False),
    (9, 128, 160, 6, 0.25, 1, False),
    (15, 160, 256, 6, 0.25, 2, False),
)
_M: tuple[_Stage, ...] = (
    (3, 24, 24, 1, 0, 1, True),
    (5, 24, 48, 4, 0, 2, True),
    (5, 48, 80, 4, 0, 2, True),
    (7, 80, 160, 4, 0.25, 2, False),
    (14, 160, 176, 6, 0.25, 1, False),
    (18, 176, 304, 6, 0.25, 2, False),
    (5, 304, 512, 6, 0.25, 1, False),
)
_L: tuple[_Stage, ...] = (
    (4, 32, 32, 1, 0, 1, True),
    (7, 32, 64, 4, 0, 2, True),
    (7, 64, 96, 4, 0, 2, True),
    (10, 96, 192, 4, 0.25, 2, False),
    (19, 192, 224, 6, 0.25, 1, False),
    (25, 224, 384, 6, 0.25, 2, False),
    (7, 384, 640, 6, 0.25, 1, False),
)


@dataclass(frozen=True)
class _Variant:
    """The stages, how they are scaled, and the digests of the weights with and without the classifier."""

    stages: tuple[_Stage, ...]
    width: float
    depth: float
    size: int
    digests: tuple[str, str]


def _normalize(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=channels_axis(), momentum=_BN_MOMENTUM, name=name)(x)


def _normalize_activate(x: KerasTensor, bn_name: str, activation_name: str) -> KerasTensor:
    return layers.Activation("swish", name=activation_name)(_normalize(x, bn_name))


def _block(
    inputs: KerasTensor,
    filters_in: int,
    filters_out: int,
    expansion: int,
    squeeze: float,
    stride: int,
    fused: bool,
    drop: float,
    name: str,
) -> KerasTensor:
    """An inverted residual. Fused: one 3x3 convolution does the work of the expansion and the depthwise one."""
    x, channels = inputs, filters_in * expansion
    if expansion != 1:
        kernel, strides = (3, stride) if fused else (1, 1)
        x = conv(x, channels, kernel, f"{name}expand_conv", strides=strides)
        x = _normalize_activate(x, f"{name}expand_bn", f"{name}expand_activation")
    if not fused:
        x = layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=conv_initializer(),
            name=f"{name}dwconv2",
        )(x)
        x = _normalize_activate(x, f"{name}bn", f"{name}activation")
    if squeeze:
        x = squeeze_and_excite(x, channels, max(1, int(filters_in * squeeze)), "swish", name)
    # A fused block without expansion has this convolution only.
    alone = fused and expansion == 1
    kernel, strides = (3, stride) if alone else (1, 1)
    x = conv(x, filters_out, kernel, f"{name}project_conv", strides=strides)
    x = _normalize(x, f"{name}project_bn")
    if alone:
        x = layers.Activation("swish", name=f"{name}project_activation")(x)
    if stride == 1 and filters_in == filters_out:
        return residual(x, inputs, drop, name)
    return x


def _scale_pixels(x: KerasTensor, as_imagenet: bool) -> KerasTensor:
    if not as_imagenet:
        return layers.Rescaling(scale=1.0 / 128.0, offset=-1)(x)
    x = layers.Rescaling(scale=1.0 / 255)(x)
    variances = [deviation**2 for deviation in _DEVIATIONS]
    return layers.Normalization(mean=list(_MEANS), variance=variances, axis=channels_axis())(x)


def _efficientnet_v2(
    options: Options, include_preprocessing: bool, variant_name: str, variant: _Variant
) -> Functional:
    options.check()
    shape = options.shape(variant.size)
    image = x = image_input(options.input_tensor, shape)

    def width(filters: int) -> int:
        return max(8, int(filters * variant.width + 4) // 8 * 8)

    if include_preprocessing:
        channels = shape[0 if channels_axis() == 1 else 2]
        x = _scale_pixels(x, variant.stages is _B and channels == 3)
    x = conv(x, width(variant.stages[0][1]), 3, "stem_conv", strides=2)
    x = _normalize_activate(x, "stem_bn", "stem_activation")

    # The probability to leave a block out grows with its place among those of the unscaled model.
    total = float(sum(stage[0] for stage in variant.stages))
    done = 0
    for i, (blocks, filters_in, filters_out, expansion, squeeze, stride, fused) in enumerate(
        variant.stages, 1
    ):
        inputs, outputs = width(filters_in), width(filters_out)
        for j in range(math.ceil(variant.depth * blocks)):
            if j:
                inputs, stride = outputs, 1
            drop = _DROP_CONNECT * done / total
            name = f"block{i}{chr(ord('a') + j)}_"
            x = _block(x, inputs, outputs, expansion, squeeze, stride, fused, drop, name)
            done += 1

    x = conv(x, width(1280), 1, "top_conv")
    x = _normalize_activate(x, "top_bn", "top_activation")
    x = classifier(x, options, _DROPOUT, bias_initializer=initializers.Constant(0.0))
    file = f"{variant_name}{'' if options.include_top else '_notop'}.h5"
    digest = variant.digests[not options.include_top]
    return finish(image, x, options, lambda: keras_file("efficientnet_v2", file, digest))


def _model(
    ending: str, stages: tuple[_Stage, ...], width: float, depth: float, size: int, *digests: str
) -> Any:
    variant_name = f"efficientnetv2-{ending.lower()}"
    variant = _Variant(stages, width, depth, size, (digests[0], digests[1]))

    def function(
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: KerasTensor | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = variant_name,
    ) -> Functional:
        options = Options(
            include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        return _efficientnet_v2(options, include_preprocessing, variant_name, variant)

    summary = (
        f"Makes an EfficientNetV2-{ending}, which scales pixels in [0, 255] itself unless "
        "`include_preprocessing=False`."
    )
    return document(function, f"EfficientNetV2{ending}", __name__, summary)


EfficientNetV2B0 = _model(
    "B0", _B, 1.0, 1.0, 224, "21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"
)
EfficientNetV2B1 = _model(
    "B1", _B, 1.0, 1.1, 240, "069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"
)
EfficientNetV2B2 = _model(
    "B2", _B, 1.1, 1.2, 260, "424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"
)
EfficientNetV2B3 = _model(
    "B3", _B, 1.2, 1.4, 300, "1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"
)
EfficientNetV2S = _model(
    "S", _S, 1.0, 1.0, 384, "e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"
)
EfficientNetV2M = _model(
    "M", _M, 1.0, 1.0, 480, "a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"
)
EfficientNetV2L = _model(
    "L", _L, 1.0, 1.0, 480, "27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"
)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x`: the model scales pixels in [0, 255] itself."""
    return x


decode_predictions = imagenet_utils.decode_predictions
