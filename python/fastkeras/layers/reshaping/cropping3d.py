"""Cropping of volumes."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import standardize_pairs
from fastkeras.layers.reshaping.base_cropping import BaseCropping


class Cropping3D(BaseCropping):
    """Cuts positions off both ends of volumes, in depth, height and width.

    Args:
        cropping: an integer, a triple of integers, or a triple of pairs (before, after).
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, new_depth, new_height, new_width, channels)`.

    Raises:
        ValueError: `cropping` has another form, or leaves nothing of an axis.

    Example: `fastkeras.layers.Cropping3D(1)(numpy.ones((4, 8, 8, 8, 3))).shape` is `(4, 6, 6, 6, 3)`.
    """

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(standardize_pairs(cropping, 3, "cropping"), data_format, **kwargs)
