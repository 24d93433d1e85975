"""The leaky rectified linear unit as a layer."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import activations
from fastkeras.layers.layer import Layer


class LeakyReLU(Layer):
    """`x` where `x >= 0`, else `negative_slope * x`.

    Raises:
        ValueError: `negative_slope` is None or negative.

    Example: `fastkeras.layers.LeakyReLU(0.5)(numpy.array([-1.0, 2.0]))` gives `[-0.5, 2.0]`.
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn("LeakyReLU: `alpha` is the old name of `negative_slope`.", stacklevel=2)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "LeakyReLU: `negative_slope` must be a number >= 0. Received: "
                f"negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}
