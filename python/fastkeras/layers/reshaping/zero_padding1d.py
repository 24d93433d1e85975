"""Zero padding of sequences."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import standardize_tuple
from fastkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding1D(BaseZeroPadding):
    """Adds zeros before and after sequences, in time.

    Args:
        padding: an integer, or a pair (before, after).
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, steps, channels)` -> `(batch, new_steps, channels)`.

    Raises:
        ValueError: `padding` has another form.

    Example: `fastkeras.layers.ZeroPadding1D(1)(numpy.ones((4, 8, 3))).shape` is `(4, 10, 3)`.
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__((standardize_tuple(padding, 2, "padding", minimum=0),), data_format, **kwargs)
