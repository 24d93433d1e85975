"""VGG (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014)."""

from __future__ import annotations

from typing import Any

from fastkeras import layers
from fastkeras.applications import imagenet_utils
from fastkeras.applications.cached_files import keras_file
from fastkeras.applications.image_model import (
    Options,
    finish,
    global_pool,
    image_input,
    image_model_function,
)
from fastkeras.models import Functional

_FILTERS = (64, 128, 256, 512, 512)


def vgg(options: Options, name: str, depths: tuple[int, ...], digests: tuple[str, str]) -> Functional:
    """Makes a VGG: blocks of 3x3 convolutions, each with pooling, and three dense layers.

    Args:
        options: the arguments of the model.
        name: the model's name in the names of weights files.
        depths: number of convolutions in each of the five blocks.
        digests: digests of the weights with and without the classifier.
    """
    options.check()
    image = x = image_input(options.input_tensor, options.shape(224))
    for i, (filters, depth) in enumerate(zip(_FILTERS, depths), 1):
        for j in range(1, depth + 1):
            x = layers.Conv2D(filters, (3, 3), activation="relu", padding="same", name=f"block{i}_conv{j}")(x)
        x = layers.MaxPooling2D((2, 2), strides=(2, 2), name=f"block{i}_pool")(x)
    if options.include_top:
        x = layers.Flatten(name="flatten")(x)
        for dense in ("fc1", "fc2"):
            x = layers.Dense(4096, activation="relu", name=dense)(x)
        x = layers.Dense(options.classes, activation=options.classifier_activation, name="predictions")(x)
    else:
        x = global_pool(x, options.pooling)
    ending = "" if options.include_top else "_notop"
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(image, x, options, lambda: keras_file(name, file, digests[not options.include_top]))


VGG16 = image_model_function(
    "VGG16",
    __name__,
    "vgg16",
    "Makes a VGG of 16 layers with weights.",
    lambda options: vgg(
        options,
        "vgg16",
        (2, 2, 3, 3, 3),
        ("64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
    ),
)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Scales pixels in [0, 255] as VGG was trained: `imagenet_utils.preprocess_input` with mode "caffe"."""
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="caffe")


decode_predictions = imagenet_utils.decode_predictions
