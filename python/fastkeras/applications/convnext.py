"""ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022)."""

from __future__ import annotations

from typing import Any

from fastkeras import initializers, layers, ops
from fastkeras import random as keras_random
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.image_model import (
    Options,
    document,
    finish,
    global_pool,
    image_input,
    refuse_channels_first,
)
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.layer import Layer
from fastkeras.models import Functional, Sequential

_SCALE_INIT = 1e-6
_MEANS = (0.485, 0.456, 0.406)
_DEVIATIONS = (0.229, 0.224, 0.225)
# Number of blocks and of channels of the four stages, and the digests of the weights with and without the classifier.
_VARIANTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], str, str]] = {
    "tiny": (
        (3, 3, 9, 3),
        (96, 192, 384, 768),
        "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "small": (
        (3, 3, 27, 3),
        (96, 192, 384, 768),
        "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "base": (
        (3, 3, 27, 3),
        (128, 256, 512, 1024),
        "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "large": (
        (3, 3, 27, 3),
        (192, 384, 768, 1536),
        "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "xlarge": (
        (3, 3, 27, 3),
        (256, 512, 1024, 2048),
        "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
}


class StochasticDepth(Layer):
    """Leaves samples out in training: a sample is set to 0 with a probability, and what stays is scaled up.

    Args:
        drop_path_rate: the probability, from 0 to below 1.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Shapes: any -> the same.

    Example: `StochasticDepth(0.5)(numpy.ones((4, 2)), training=True)` has rows of 0 and rows of 2.
    """

    def __init__(self, drop_path_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop_path_rate = drop_path_rate

    def call(self, x: Any, training: bool | None = None) -> Any:
        if not training:
            return x
        keep = 1 - self.drop_path_rate
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        kept = ops.floor(keep + keras_random.uniform(shape, 0, 1, dtype=x.dtype))
        return x / keep * kept

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "drop_path_rate": self.drop_path_rate}


class LayerScale(Layer):
    """Multiplies each channel by a weight.

    Args:
        init_values: first value of the weights.
        projection_dim: number of channels.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Shapes: `(..., projection_dim)` -> the same; weights: `(projection_dim,)`.

    Example: `LayerScale(0.5, 2)(numpy.ones((1, 2)))` is 0.5 everywhere.
    """

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim

    def build(self, input_shape: Any) -> None:
        self.gamma = self.add_weight(
            shape=(self.projection_dim,),
            initializer=initializers.Constant(self.init_values),
            trainable=True,
        )

    def call(self, x: Any) -> Any:
        return x * self.gamma

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "init_values": self.init_values,
            "projection_dim": self.projection_dim,
        }


def _normalize(name: str | None = None) -> Layer:
    return layers.LayerNormalization(epsilon=1e-6, name=name)


def _block(inputs: KerasTensor, channels: int, name: str) -> KerasTensor:
    """A depthwise 7x7 convolution, then an inverted bottleneck of dense layers on each pixel."""
    x = layers.Conv2D(channels, 7, padding="same", groups=channels, name=f"{name}_depthwise_conv")(inputs)
    x = _normalize(f"{name}_layernorm")(x)
    x = layers.Dense(4 * channels, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(channels, name=f"{name}_pointwise_conv_2")(x)
    x = LayerScale(_SCALE_INIT, channels, name=f"{name}_layer_scale")(x)
    # Where training with stochastic depth would have its layer.
    x = layers.Activation("linear", name=f"{name}_identity")(x)
    return inputs + x


def _reductions(channels: tuple[int, ...], name: str) -> list[Sequential]:
    """Returns what makes the image smaller in front of each stage."""
    stem = [
        layers.Conv2D(channels[0], 4, strides=4, name=f"{name}_stem_conv"),
        _normalize(f"{name}_stem_layernorm"),
    ]
    reductions = [Sequential(stem, name=f"{name}_stem")]
    for i, filters in enumerate(channels[1:]):
        norm = _normalize(f"{name}_downsampling_layernorm_{i}")
        conv = layers.Conv2D(filters, 2, strides=2, name=f"{name}_downsampling_conv_{i}")
        reductions.append(Sequential([norm, conv], name=f"{name}_downsampling_block_{i}"))
    return reductions


def _convnext(options: Options, include_preprocessing: bool, variant: str) -> Functional:
    refuse_channels_first("ConvNeXt")
    options.check()
    depths, channels, *digests = _VARIANTS[variant]
    name = options.name
    if options.weights == "imagenet" and f"convnext_{variant}" not in str(name):
        raise ValueError(
            f"With ImageNet weights the name of the model must contain 'convnext_{variant}'. Received: name={name!r}. "
            "Leave `name` out."
        )
    shape = options.shape(224)
    image = x = image_input(options.input_tensor, shape)
    if include_preprocessing and shape[-1] == 3:
        x = layers.Normalization(
            mean=[mean * 255 for mean in _MEANS],
            variance=[(deviation * 255) ** 2 for deviation in _DEVIATIONS],
            name=f"{name}_prestem_normalization",
        )(x)
    for i, reduction in enumerate(_reductions(channels, str(name))):
        x = reduction(x)
        for j in range(depths[i]):
            x = _block(x, channels[i], f"{name}_stage_{i}_block_{j}")
    if options.include_top:
        x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
        x = _normalize(f"{name}_head_layernorm")(x)
        x = layers.Dense(
            options.classes, activation=options.classifier_activation, name=f"{name}_head_dense"
        )(x)
    else:
        x = _normalize()(global_pool(x, options.pooling))
    file = f"convnext_{variant}{'' if options.include_top else '_notop'}.h5"
    return finish(image, x, options, lambda: keras_file("convnext", file, digests[not options.include_top]))


def _model(size: str) -> Any:
    def function(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: Any = "imagenet",
        input_tensor: KerasTensor | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = f"convnext_{size.lower()}",
    ) -> Functional:
        options = Options(
            include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        return _convnext(options, include_preprocessing, size.lower())

    scaling = "which scales pixels in [0, 255] itself unless `include_preprocessing=False`"
    summary = f"Makes a ConvNeXt, size {size}, {scaling}."
    return document(function, f"ConvNeXt{size}", __name__, summary)


ConvNeXtTiny = _model("Tiny")
ConvNeXtSmall = _model("Small")
ConvNeXtBase = _model("Base")
ConvNeXtLarge = _model("Large")
ConvNeXtXLarge = _model("XLarge")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x`: the model scales pixels in [0, 255] itself."""
    return x


decode_predictions = imagenet_utils.decode_predictions
