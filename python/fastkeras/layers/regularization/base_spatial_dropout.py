"""What the spatial dropout layers share."""

from __future__ import annotations

from typing import Any

from fastkeras import random
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import spatial_axes
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.regularization.random_layer import RandomLayer, checked_rate


class BaseSpatialDropout(RandomLayer):
    """Drops whole channels: one random value per sample and channel. Subclasses fix the rank."""

    def __init__(
        self,
        rank: int,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        checked_rate(rate, "rate", type(self).__name__)
        super().__init__(rate, seed, name=name, dtype=dtype)
        self.rate = rate
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self._axes = spatial_axes(self.data_format, rank)

    def _apply(self, inputs: Any) -> Any:
        noise_shape = tuple(1 if i in self._axes else n for i, n in enumerate(inputs.shape))
        return random.dropout(inputs, rate=self.rate, noise_shape=noise_shape, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        # These layers take no other arguments of Layer, so its configuration is not part of theirs.
        return {
            "rate": self.rate,
            "seed": self.seed,
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "data_format": self.data_format,
        }
