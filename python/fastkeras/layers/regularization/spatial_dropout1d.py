"""Spatial dropout of sequences."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.regularization.base_spatial_dropout import BaseSpatialDropout


class SpatialDropout1D(BaseSpatialDropout):
    """In training, sets whole channels of sequences to 0 with probability `rate` and scales the others up.

    Args:
        rate: from 0 to 1.
        seed: int, for reproducible masks.
        name: the layer's name.
        dtype: the layer's type or policy.

    Shapes: `(batch, steps, channels)` -> the same.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.SpatialDropout1D(0.5)(x, training=True)`.
    """

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(1, rate, "channels_last", seed, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config
