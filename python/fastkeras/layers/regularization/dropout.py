"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import random
from fastkeras.layers.regularization.random_layer import (
    RandomLayer,
    checked_noise_shape,
    checked_rate,
    full_noise_shape,
)


class Dropout(RandomLayer):
    """In training, sets values to 0 with probability `rate` and scales the others by `1 / (1 - rate)`.

    Args:
        rate: from 0 to 1.
        noise_shape: the shape of the random mask, which broadcasts to the input; None stands for the input's
            size. `(None, 1, None)` drops the same features at every step of a sequence.
        seed: int, for reproducible masks.

    Call arguments:
        inputs: tensor.
        training: whether to drop anything.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.Dropout(0.5)(numpy.ones((2, 3)), training=True)`.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.rate = checked_rate(rate, "rate", "Dropout")
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = checked_noise_shape(noise_shape, "Dropout")

    def _apply(self, inputs: Any) -> Any:
        noise_shape = full_noise_shape(self.noise_shape, inputs, "Dropout")
        return random.dropout(inputs, rate=self.rate, noise_shape=noise_shape, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}
