"""Image models of the literature, by their public names, with Keras' layer names: its weights files load.

A family is imported when it is first asked for, as layers are. Nothing is downloaded: `weights="imagenet"` reads a
file that is there already, and says which file that is if it is not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastkeras.applications import (
        convnext,
        densenet,
        efficientnet,
        efficientnet_v2,
        imagenet_utils,
        inception_resnet_v2,
        inception_v3,
        mobilenet,
        mobilenet_v2,
        mobilenet_v3,
        nasnet,
        resnet,
        resnet50,
        resnet_v2,
        vgg16,
        vgg19,
        xception,
    )
    from fastkeras.applications.convnext import (
        ConvNeXtBase,
        ConvNeXtLarge,
        ConvNeXtSmall,
        ConvNeXtTiny,
        ConvNeXtXLarge,
    )
    from fastkeras.applications.densenet import DenseNet121, DenseNet169, DenseNet201
    from fastkeras.applications.efficientnet import (
        EfficientNetB0,
        EfficientNetB1,
        EfficientNetB2,
        EfficientNetB3,
        EfficientNetB4,
        EfficientNetB5,
        EfficientNetB6,
        EfficientNetB7,
    )
    from fastkeras.applications.efficientnet_v2 import (
        EfficientNetV2B0,
        EfficientNetV2B1,
        EfficientNetV2B2,
        EfficientNetV2B3,
        EfficientNetV2L,
        EfficientNetV2M,
        EfficientNetV2S,
    )
    from fastkeras.applications.inception_resnet_v2 import InceptionResNetV2
    from fastkeras.applications.inception_v3 import InceptionV3
    from fastkeras.applications.mobilenet import MobileNet
    from fastkeras.applications.mobilenet_v2 import MobileNetV2
    from fastkeras.applications.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small
    from fastkeras.applications.nasnet import NASNetLarge, NASNetMobile
    from fastkeras.applications.resnet import ResNet50, ResNet101, ResNet152
    from fastkeras.applications.resnet_v2 import ResNet50V2, ResNet101V2, ResNet152V2
    from fastkeras.applications.vgg16 import VGG16
    from fastkeras.applications.vgg19 import VGG19
    from fastkeras.applications.xception import Xception

# The models of each module.
_MODELS: dict[str, tuple[str, ...]] = {
    "convnext": ("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": (
        "EfficientNetB0",
        "EfficientNetB1",
        "EfficientNetB2",
        "EfficientNetB3",
        "EfficientNetB4",
        "EfficientNetB5",
        "EfficientNetB6",
        "EfficientNetB7",
    ),
    "efficientnet_v2": (
        "EfficientNetV2B0",
        "EfficientNetV2B1",
        "EfficientNetV2B2",
        "EfficientNetV2B3",
        "EfficientNetV2L",
        "EfficientNetV2M",
        "EfficientNetV2S",
    ),
    "imagenet_utils": (),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Large", "MobileNetV3Small"),
    "nasnet": ("NASNetLarge", "NASNetMobile"),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet50": (),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
_HOMES = {model: module for module, models in _MODELS.items() for model in models}

__all__ = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetLarge",
    "NASNetMobile",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
    "convnext",
    "densenet",
    "efficientnet",
    "efficientnet_v2",
    "imagenet_utils",
    "inception_resnet_v2",
    "inception_v3",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "nasnet",
    "resnet",
    "resnet50",
    "resnet_v2",
    "vgg16",
    "vgg19",
    "xception",
]


def __getattr__(name: str) -> Any:
    if name in _MODELS:
        return importlib.import_module(f"fastkeras.applications.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'fastkeras.applications' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastkeras.applications.{home}"), name)
    # Kept, so that the next look-up finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
