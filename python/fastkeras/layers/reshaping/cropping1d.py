"""Cropping of sequences."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import standardize_tuple
from fastkeras.layers.reshaping.base_cropping import BaseCropping


class Cropping1D(BaseCropping):
    """Cuts positions off both ends of sequences, in time.

    Args:
        cropping: an integer, or a pair (before, after).

    Shapes: `(batch, steps, channels)` -> `(batch, new_steps, channels)`.

    Raises:
        ValueError: `cropping` has another form, or leaves nothing of an axis.

    Example: `fastkeras.layers.Cropping1D(1)(numpy.ones((4, 8, 3))).shape` is `(4, 6, 3)`.
    """

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__((standardize_tuple(cropping, 2, "cropping", minimum=0),), "channels_last", **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config
