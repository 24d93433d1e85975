"""Multiplicative Gaussian noise."""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops, random
from fastkeras.layers.regularization.random_layer import RandomLayer, checked_rate


class GaussianDropout(RandomLayer):
    """In training, multiplies by normal noise of mean 1 and standard deviation `sqrt(rate / (1 - rate))`.

    Raises:
        ValueError: `rate` is not between 0 and 1, or is 1 in training, where the deviation would be infinite.

    Example: `fastkeras.layers.GaussianDropout(0.1)(numpy.ones((2, 3)), training=True)`.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        self.rate = checked_rate(rate, "rate", "GaussianDropout")
        super().__init__(rate, seed, **kwargs)

    def _apply(self, inputs: Any) -> Any:
        if self.rate >= 1:
            raise ValueError("GaussianDropout: in training `rate` must be below 1. Received: rate=1")
        noise = random.normal(
            tuple(inputs.shape),
            mean=1.0,
            stddev=math.sqrt(self.rate / (1.0 - self.rate)),
            dtype=self.compute_dtype,
            seed=self.seed_generator,
        )
        return ops.multiply(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
