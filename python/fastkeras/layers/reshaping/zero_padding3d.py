"""Zero padding of volumes."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import standardize_pairs
from fastkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding3D(BaseZeroPadding):
    """Adds zeros before and after volumes, in depth, height and width.

    Args:
        padding: an integer, a triple of integers, or a triple of pairs (before, after).
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, new_depth, new_height, new_width, channels)`.

    Raises:
        ValueError: `padding` has another form.

    Example: `fastkeras.layers.ZeroPadding3D(1)(numpy.ones((4, 8, 8, 8, 3))).shape` is `(4, 10, 10, 10, 3)`.
    """

    def __init__(
        self,
        padding: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(standardize_pairs(padding, 3, "padding"), data_format, **kwargs)
