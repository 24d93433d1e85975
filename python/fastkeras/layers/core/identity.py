"""A layer that returns its input."""

from __future__ import annotations

from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.layer import Layer


class Identity(Layer):
    """Returns its input (a tensor, or any structure of tensors) unchanged: a placeholder for no operation.

    Example: `fastkeras.layers.Identity()(x)`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return tree.map_structure(lambda x: KerasTensor(x.shape, dtype=x.dtype), inputs)
