"""Additive Gaussian noise."""

from __future__ import annotations

from typing import Any

from fastkeras import ops, random
from fastkeras.layers.regularization.random_layer import RandomLayer, checked_rate


class GaussianNoise(RandomLayer):
    """In training, adds normal noise of mean 0 and standard deviation `stddev`.

    Raises:
        ValueError: `stddev` is not between 0 and 1.

    Example: `fastkeras.layers.GaussianNoise(0.1)(numpy.ones((2, 3)), training=True)`.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        self.stddev = checked_rate(stddev, "stddev", "GaussianNoise")
        super().__init__(stddev, seed, **kwargs)

    def _apply(self, inputs: Any) -> Any:
        noise = random.normal(
            tuple(inputs.shape),
            mean=0.0,
            stddev=self.stddev,
            dtype=self.compute_dtype,
            seed=self.seed_generator,
        )
        return ops.add(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}
