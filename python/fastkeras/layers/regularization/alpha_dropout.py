"""Dropout that keeps mean and variance, for networks of `selu` units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops, random
from fastkeras.layers.regularization.random_layer import (
    RandomLayer,
    checked_noise_shape,
    checked_rate,
    full_noise_shape,
)

# What selu tends to for large negative inputs: -scale * alpha.
_SATURATION = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


class AlphaDropout(RandomLayer):
    """In training, sets values to the saturation of `selu` with probability `rate`, and rescales.

    Mean and variance of normalised inputs stay as they are.

    Args:
        rate: from 0 to 1.
        noise_shape: the shape of the random mask, which broadcasts to the input; None stands for the input's
            size.
        seed: int, for reproducible masks.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.AlphaDropout(0.5)(numpy.ones((2, 3)), training=True)`.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.rate = checked_rate(rate, "rate", "AlphaDropout")
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = checked_noise_shape(noise_shape, "AlphaDropout")

    def _apply(self, inputs: Any) -> Any:
        if self.rate >= 1:
            raise ValueError("AlphaDropout: in training `rate` must be below 1. Received: rate=1")
        shape = full_noise_shape(self.noise_shape, inputs, "AlphaDropout") or tuple(inputs.shape)
        kept = ops.greater_equal(random.uniform(shape, seed=self.seed_generator), self.rate)
        # The affine map that brings mean and variance back after the replacement.
        scale = ((1.0 - self.rate) * (1.0 + self.rate * _SATURATION**2)) ** -0.5
        offset = -scale * _SATURATION * self.rate
        saturated = ops.cast(_SATURATION, inputs.dtype)
        return ops.add(ops.multiply(ops.where(kept, inputs, saturated), scale), offset)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}
