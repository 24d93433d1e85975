"""`ResNet50` under the module name that it has had from the beginning."""

from fastkeras.applications.resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
