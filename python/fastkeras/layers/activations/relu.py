"""The rectified linear unit as a layer."""

from __future__ import annotations

from typing import Any

from fastkeras import activations
from fastkeras.layers.layer import Layer


class ReLU(Layer):
    """`max(x, 0)`, with an optional cap, slope and threshold.

    `f(x) = max_value` if `x >= max_value`; `x` if `threshold <= x < max_value`; else
    `negative_slope * (x - threshold)`.

    Args:
        max_value: the cap; None: none.
        negative_slope: slope below the threshold.
        threshold: where the unit starts to pass its input on.

    Raises:
        ValueError: an argument is negative, or None where a number is needed.

    Example: `fastkeras.layers.ReLU(max_value=6)(numpy.array([-1.0, 3.0, 8.0]))` gives `[0.0, 3.0, 6.0]`.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0.0:
            raise ValueError(f"ReLU: `max_value` must be None or >= 0. Received: max_value={max_value}")
        for name, value in (("negative_slope", negative_slope), ("threshold", threshold)):
            if value is None or value < 0.0:
                raise ValueError(f"ReLU: `{name}` must be a number >= 0. Received: {name}={value}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.relu(
            inputs,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }
