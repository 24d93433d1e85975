"""Adaptive average pooling over one dimension."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.pooling.base_adaptive_pooling import BaseAdaptiveAveragePooling


class AdaptiveAveragePooling1D(BaseAdaptiveAveragePooling):
    """The mean of windows of sequences that are laid out to give an output of a fixed size.

    Args:
        output_size: an integer.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, steps, channels)` -> `(batch, output_size, channels)`.

    Raises:
        TypeError: `output_size` has another form.

    Example: `fastkeras.layers.AdaptiveAveragePooling1D(2)(numpy.ones((4, 9, 3))).shape` is `(4, 2, 3)`.
    """

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(output_size, 1, data_format, **kwargs)
