"""Spatial dropout of images."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.regularization.base_spatial_dropout import BaseSpatialDropout


class SpatialDropout2D(BaseSpatialDropout):
    """In training, sets whole channels of images to 0 with probability `rate` and scales the others up.

    Args:
        rate: from 0 to 1.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        seed: int, for reproducible masks.
        name: the layer's name.
        dtype: the layer's type or policy.

    Shapes: `(batch, height, width, channels)` -> the same.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.SpatialDropout2D(0.5)(x, training=True)`.
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, rate, data_format, seed, name, dtype)
