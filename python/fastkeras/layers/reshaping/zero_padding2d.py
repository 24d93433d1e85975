"""Zero padding of images."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import standardize_pairs
from fastkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding2D(BaseZeroPadding):
    """Adds zeros before and after images, in height and width.

    Args:
        padding: an integer, a pair of integers for height and width, or a pair of pairs (before, after).
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, height, width, channels)` -> `(batch, new_height, new_width, channels)`.

    Raises:
        ValueError: `padding` has another form.

    Example: `fastkeras.layers.ZeroPadding2D(1)(numpy.ones((4, 8, 8, 3))).shape` is `(4, 10, 10, 3)`.
    """

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(standardize_pairs(padding, 2, "padding"), data_format, **kwargs)
