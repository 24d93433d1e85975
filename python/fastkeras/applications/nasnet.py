"""NASNet-A (Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", 2017)."""

from __future__ import annotations

from dataclasses import dataclass
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
    refuse_channels_first,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.models import Functional


@dataclass(frozen=True)
class _Variant:
    """Sizes of a model, and its files with and without the classifier: names here and there, digests."""

    name: str
    size: int
    penultimate_filters: int
    cells: int
    stem_filters: int
    skip_reduction: bool
    digests: tuple[str, str]


_MOBILE = _Variant(
    "mobile",
    224,
    1056,
    4,
    32,
    False,
    ("020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63"),
)
_LARGE = _Variant(
    "large", 331, 4032, 6, 96, True, ("11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5")
)


def _normalize(x: KerasTensor, name: str) -> KerasTensor:
    return layers.BatchNormalization(axis=-1, momentum=0.9997, epsilon=1e-3, name=name)(x)


def _relu(x: KerasTensor, name: str | None = None) -> KerasTensor:
    return layers.Activation("relu", name=name)(x)


def _conv(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    return layers.Conv2D(
        filters, (1, 1), padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _average(x: KerasTensor, name: str) -> KerasTensor:
    return layers.AveragePooling2D((3, 3), strides=(1, 1), padding="same", name=name)(x)


def _separable(x: KerasTensor, filters: int, kernel: int, cell: str, stride: int = 1) -> KerasTensor:
    """Two separable convolutions, each after a ReLU; the first may halve the image."""
    x = _relu(x)
    if stride == 2:
        pad = imagenet_utils.correct_pad(x, kernel)
        x = layers.ZeroPadding2D(pad, name=f"separable_conv_1_pad_{cell}")(x)
    x = layers.SeparableConv2D(
        filters,
        (kernel, kernel),
        strides=(stride, stride),
        padding="valid" if stride == 2 else "same",
        use_bias=False,
        name=f"separable_conv_1_{cell}",
    )(x)
    x = _relu(_normalize(x, f"separable_conv_1_bn_{cell}"))
    x = layers.SeparableConv2D(
        filters, (kernel, kernel), padding="same", use_bias=False, name=f"separable_conv_2_{cell}"
    )(x)
    return _normalize(x, f"separable_conv_2_bn_{cell}")


def _adjust(p: KerasTensor | None, x: KerasTensor, filters: int, cell: str) -> KerasTensor:
    """Brings `p`, the input of the cell before, to the size of `x` and to `filters` channels."""
    if p is None:
        return x
    if p.shape[-2] != x.shape[-2]:
        # Halved twice, from the even and the odd pixels, each with half of the channels.
        p = _relu(p, f"adjust_relu_1_{cell}")
        even = layers.AveragePooling2D((1, 1), strides=(2, 2), name=f"adjust_avg_pool_1_{cell}")(p)
        even = _conv(even, filters // 2, f"adjust_conv_1_{cell}")
        odd = layers.ZeroPadding2D(((0, 1), (0, 1)))(p)
        odd = layers.Cropping2D(((1, 0), (1, 0)))(odd)
        odd = layers.AveragePooling2D((1, 1), strides=(2, 2), name=f"adjust_avg_pool_2_{cell}")(odd)
        odd = _conv(odd, filters // 2, f"adjust_conv_2_{cell}")
        return _normalize(layers.concatenate([even, odd], axis=-1), f"adjust_bn_{cell}")
    if p.shape[-1] != filters:
        p = _conv(_relu(p), filters, f"adjust_conv_projection_{cell}")
        return _normalize(p, f"adjust_bn_{cell}")
    return p


def _normal_cell(x: KerasTensor, p: KerasTensor | None, filters: int, cell: str) -> KerasTensor:
    """A cell that keeps the size of the image."""
    p = _adjust(p, x, filters, cell)
    h = _normalize(_conv(_relu(x), filters, f"normal_conv_1_{cell}"), f"normal_bn_1_{cell}")
    x1 = layers.add(
        [
            _separable(h, filters, 5, f"normal_left1_{cell}"),
            _separable(p, filters, 3, f"normal_right1_{cell}"),
        ],
        name=f"normal_add_1_{cell}",
    )
    x2 = layers.add(
        [
            _separable(p, filters, 5, f"normal_left2_{cell}"),
            _separable(p, filters, 3, f"normal_right2_{cell}"),
        ],
        name=f"normal_add_2_{cell}",
    )
    x3 = layers.add([_average(h, f"normal_left3_{cell}"), p], name=f"normal_add_3_{cell}")
    x4 = layers.add(
        [_average(p, f"normal_left4_{cell}"), _average(p, f"normal_right4_{cell}")],
        name=f"normal_add_4_{cell}",
    )
    x5 = layers.add([_separable(h, filters, 3, f"normal_left5_{cell}"), h], name=f"normal_add_5_{cell}")
    return layers.concatenate([p, x1, x2, x3, x4, x5], axis=-1, name=f"normal_concat_{cell}")


def _reduction_cell(x: KerasTensor, p: KerasTensor | None, filters: int, cell: str) -> KerasTensor:
    """A cell that halves the image."""
    p = _adjust(p, x, filters, cell)
    h = _normalize(_conv(_relu(x), filters, f"reduction_conv_1_{cell}"), f"reduction_bn_1_{cell}")
    padded = layers.ZeroPadding2D(imagenet_utils.correct_pad(h, 3), name=f"reduction_pad_1_{cell}")(h)
    x1 = layers.add(
        [
            _separable(h, filters, 5, f"reduction_left1_{cell}", 2),
            _separable(p, filters, 7, f"reduction_right1_{cell}", 2),
        ],
        name=f"reduction_add_1_{cell}",
    )
    left = layers.MaxPooling2D((3, 3), strides=(2, 2), name=f"reduction_left2_{cell}")(padded)
    x2 = layers.add(
        [left, _separable(p, filters, 7, f"reduction_right2_{cell}", 2)], name=f"reduction_add_2_{cell}"
    )
    left = layers.AveragePooling2D((3, 3), strides=(2, 2), name=f"reduction_left3_{cell}")(padded)
    x3 = layers.add(
        [left, _separable(p, filters, 5, f"reduction_right3_{cell}", 2)], name=f"reduction_add3_{cell}"
    )
    x4 = layers.add([x2, _average(x1, f"reduction_left4_{cell}")])
    left = _separable(x1, filters, 3, f"reduction_left4_{cell}")
    right = layers.MaxPooling2D((3, 3), strides=(2, 2), name=f"reduction_right5_{cell}")(padded)
    x5 = layers.add([left, right], name=f"reduction_add4_{cell}")
    return layers.concatenate([x2, x3, x4, x5], axis=-1, name=f"reduction_concat_{cell}")


def _nasnet(options: Options, variant: _Variant) -> Functional:
    refuse_channels_first("NASNet")
    options.check()
    if options.weights == "imagenet" and options.input_shape is not None and None in options.input_shape:
        raise ValueError(
            "ImageNet weights need an `input_shape` of known sizes. Received: "
            f"input_shape={options.input_shape}. Give height and width."
        )
    image = image_input(options.input_tensor, options.shape(variant.size))
    x = layers.Conv2D(
        variant.stem_filters,
        (3, 3),
        strides=(2, 2),
        use_bias=False,
        name="stem_conv1",
        kernel_initializer="he_normal",
    )(image)
    x = _normalize(x, "stem_bn1")
    filters, cells = variant.penultimate_filters // 24, variant.cells
    # A cell takes the output of the cell before, x, and that cell's input, p.
    x, p = _reduction_cell(x, None, filters // 4, "stem_1"), x
    x, p = _reduction_cell(x, p, filters // 2, "stem_2"), x
    for stage in range(3):
        width = filters << stage
        if stage:
            reduced = _reduction_cell(x, p, width, f"reduce_{stage * cells}")
            # The large model lets the cell after a reduction look at the input of the cell before it.
            x, p = reduced, (p if variant.skip_reduction else x)
        for i in range(cells):
            x, p = _normal_cell(x, p, width, f"{stage * cells + i + (stage > 0)}"), x
    x = _relu(x)
    top = "" if options.include_top else "_no_top"
    return finish(
        image,
        head(x, options, (None, None, None)),
        options,
        lambda: keras_file(
            "nasnet",
            f"nasnet_{variant.name}{top}.h5",
            variant.digests[not options.include_top],
            source=f"NASNet-{variant.name}{top.replace('_', '-')}.h5",
        ),
    )


def NASNetMobile(  # noqa: N802 - the public name is Keras'
    input_shape: tuple[int | None, ...] | None = None,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "nasnet_mobile",
) -> Functional:
    if not include_top and input_shape is None:
        input_shape = (224, 224, 3)
    return _nasnet(
        Options(
            include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
        ),
        _MOBILE,
    )


def NASNetLarge(  # noqa: N802 - the public name is Keras'
    input_shape: tuple[int | None, ...] | None = None,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "nasnet_large",
) -> Functional:
    return _nasnet(
        Options(
            include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
        ),
        _LARGE,
    )


document(NASNetMobile, "NASNetMobile", __name__, "Makes the small NASNet-A.")
document(NASNetLarge, "NASNetLarge", __name__, "Makes the large NASNet-A.")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] to [-1, 1]: `imagenet_utils.preprocess_input` with mode "tf"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


decode_predictions = imagenet_utils.decode_predictions
