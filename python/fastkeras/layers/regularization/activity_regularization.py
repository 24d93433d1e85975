"""A penalty on activations as a layer."""

from __future__ import annotations

from typing import Any

from fastkeras import regularizers
from fastkeras.layers.layer import Layer


class ActivityRegularization(Layer):
    """Returns its input, and adds `l1 * sum(abs(x)) + l2 * sum(square(x))` to the loss.

    Raises:
        ValueError: a factor is negative.

    Example: `fastkeras.layers.ActivityRegularization(l2=0.01)(x)`.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1 = l1
        self.l2 = l2
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, "l1": self.l1, "l2": self.l2}
