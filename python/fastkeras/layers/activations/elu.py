"""The exponential linear unit as a layer."""

from __future__ import annotations

from typing import Any

from fastkeras import activations
from fastkeras.layers.layer import Layer


class ELU(Layer):
    """`x` where `x >= 0`, else `alpha * (exp(x) - 1)`.

    Example: `fastkeras.layers.ELU()(numpy.array([-1.0, 2.0]))` gives `[-0.632, 2.0]`.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, alpha=self.alpha)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
