"""VGG19: the deeper of the two VGGs in use."""

from __future__ import annotations

from fastkeras.applications.image_model import image_model_function
from fastkeras.applications.vgg16 import decode_predictions, preprocess_input, vgg

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

VGG19 = image_model_function(
    "VGG19",
    __name__,
    "vgg19",
    "Makes a VGG of 19 layers with weights.",
    lambda options: vgg(
        options,
        "vgg19",
        (2, 2, 4, 4, 4),
        ("cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
    ),
)
