"""How every image model is made: check the arguments, take an image, run the network, put a head on it, load weights.

The file of a family says what its network is; this one holds what all families do alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import CachedFile, find_cached
from fastkeras.core.config import image_data_format
from fastkeras.core.keras_tensor import KerasTensor, is_keras_tensor
from fastkeras.core.operation import get_source_inputs
from fastkeras.models import Functional

ARGUMENTS = """
    Args:
        include_top: whether the classifier is put on top.
        weights: None (random), a path of a weights file, or "imagenet": the file that Keras keeps for this model in
            its cache folder, which has to be there; nothing is downloaded.
        input_tensor: KerasTensor to use as the image; None: a new `Input`.
        input_shape: shape of one image, such as `(224, 224, 3)`; free with `include_top=False` or without ImageNet
            weights.
        pooling: what follows the network if there is no classifier: None: nothing; "avg" or "max": global pooling.
        classes: number of classes of the classifier.
        classifier_activation: activation of the classifier; None: logits.
        name: name of the model.

    Shapes: `(batch, height, width, channels)` -> `(batch, classes)` with the classifier, `(batch, features)` with
    pooling, else `(batch, new_height, new_width, features)`; images have their channels first if
    `keras.config.image_data_format()` says so.

    Raises:
        ValueError: an argument is out of range, or the arguments do not go together.
        FileNotFoundError: the file of `weights="imagenet"` is not in the cache; the message says where it belongs.
"""


@dataclass(frozen=True)
class Options:
    """The arguments that all image models take."""

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str | None

    def check(self) -> None:
        """Checks what does not depend on the network.

        Raises:
            ValueError: if weights, number of classes, activation or pooling do not suit.
        """
        weights = self.weights
        if weights is not None and weights != "imagenet" and not os.path.exists(weights):
            raise ValueError(
                "The `weights` argument should be None (random), 'imagenet', or the path to a weights file. Received: "
                f"weights={weights!r}, which does not exist. Check the path."
            )
        if self.include_top:
            if weights == "imagenet" and self.classes != 1000:
                raise ValueError(
                    "If using `weights='imagenet'` with `include_top=True`, `classes` should be 1000. Received: "
                    f"classes={self.classes}. Pass `include_top=False` and add a classifier of your own."
                )
            imagenet_utils.validate_activation(self.classifier_activation, weights)
        elif self.pooling not in (None, "avg", "max"):
            raise ValueError(
                f"Unknown pooling. Received: pooling={self.pooling!r}. Expected None, 'avg' or 'max'. Use one of these."
            )

    def shape(self, default_size: int, min_size: int = 32) -> tuple[int | None, ...]:
        """Returns the shape of one image, checked."""
        return imagenet_utils.obtain_input_shape(
            self.input_shape, default_size, min_size, image_data_format(), self.include_top, self.weights
        )


class ImageModel(Protocol):
    """A function that makes an image model."""

    def __call__(
        self,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: KerasTensor | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = ...,
    ) -> Functional: ...


def image_model_function(
    public_name: str, module: str, default_name: str, summary: str, make: Callable[[Options], Functional]
) -> ImageModel:
    """Returns the public function of one model of a family.

    Args:
        public_name: name of the function.
        module: name of the module it belongs to.
        default_name: default of its argument `name`.
        summary: first line of its documentation.
        make: makes the model.
    """

    def function(
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: KerasTensor | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = default_name,
    ) -> Functional:
        return make(
            Options(
                include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name
            )
        )

    return document(function, public_name, module, summary)


def document(function: Any, public_name: str, module: str, summary: str) -> Any:
    """Gives a function made by another the name, place and documentation that people see."""
    function.__name__ = function.__qualname__ = public_name
    function.__module__ = module
    example = f"    Example: `fastkeras.applications.{public_name}(weights=None, classes=10)`"
    function.__doc__ = f"{summary}\n{ARGUMENTS}\n{example}\n    "
    return function


def channels_axis() -> int:
    """The axis of the channels in a batch of images, counted from the front."""
    return 1 if image_data_format() == "channels_first" else 3


def last_or_first() -> int:
    """The axis of the channels in a batch of images: -1, or 1 with channels first."""
    return 1 if image_data_format() == "channels_first" else -1


def refuse_channels_first(family: str) -> None:
    """Raises a ValueError, for families that are defined for one order of axes only, if the other is set."""
    if image_data_format() == "channels_first":
        raise ValueError(
            f"{family} does not support the image data format 'channels_first'. Expected 'channels_last'. Call "
            "`keras.config.set_image_data_format('channels_last')`."
        )


def image_input(input_tensor: Any, shape: tuple[int | None, ...]) -> KerasTensor:
    """Returns the image that the network starts from."""
    if input_tensor is None:
        return layers.Input(shape=shape)
    if is_keras_tensor(input_tensor):
        return input_tensor
    return layers.Input(tensor=input_tensor, shape=shape)


def head(
    x: KerasTensor,
    options: Options,
    pool_names: tuple[str | None, str | None, str | None] = ("avg_pool", "avg_pool", "max_pool"),
    **dense: Any,
) -> KerasTensor:
    """Puts the classifier on a network, or the pooling that was asked for.

    Args:
        x: output of the network, `(batch, height, width, channels)`.
        options: the arguments of the model.
        pool_names: names of the pooling below the classifier, of average pooling and of maximum pooling.
        **dense: further arguments of the classifier's layer.
    """
    if options.include_top:
        x = layers.GlobalAveragePooling2D(name=pool_names[0])(x)
        return layers.Dense(
            options.classes, activation=options.classifier_activation, name="predictions", **dense
        )(x)
    return global_pool(x, options.pooling, pool_names[1:])


def global_pool(
    x: KerasTensor, pooling: str | None, names: tuple[str | None, str | None] = (None, None)
) -> KerasTensor:
    """Applies the pooling that was asked for in place of a classifier."""
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name=names[0])(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name=names[1])(x)
    return x


def finish(
    image: KerasTensor,
    outputs: KerasTensor,
    options: Options,
    file: Callable[[], CachedFile],
    name: str | None = None,
) -> Functional:
    """Makes the model of a network, and loads its weights.

    Args:
        image: the image that the network starts from.
        outputs: its output.
        options: the arguments of the model.
        file: returns the file with the ImageNet weights.
        name: name of the model, if it is not that in `options`.
    """
    inputs = image if options.input_tensor is None else get_source_inputs(options.input_tensor)
    model = Functional(inputs, outputs, name=options.name if name is None else name)
    if options.weights == "imagenet":
        model.load_weights(find_cached(file(), f"the ImageNet weights of '{model.name}'"))
    elif options.weights is not None:
        model.load_weights(options.weights)
    return model
