"""A layer that applies an activation function."""

from __future__ import annotations

from typing import Any

from fastkeras import activations
from fastkeras.layers.layer import Layer


class Activation(Layer):
    """Applies an activation function, given by name or as a callable.

    Shapes: the output has the shape of the input.

    Raises:
        ValueError: nothing is known by the given name.

    Example: `fastkeras.layers.Activation("relu")(numpy.array([-1.0, 2.0]))` gives `[0.0, 2.0]`.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}
