"""Adaptive average pooling over three dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.pooling.base_adaptive_pooling import BaseAdaptiveAveragePooling


class AdaptiveAveragePooling3D(BaseAdaptiveAveragePooling):
    """The mean of windows of volumes that are laid out to give an output of a fixed size.

    Args:
        output_size: an integer, or a triple.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, output_size[0], output_size[1], output_size[2], channels)`.

    Raises:
        TypeError: `output_size` has another form.

    Example: `fastkeras.layers.AdaptiveAveragePooling3D(2)(numpy.ones((4, 9, 9, 9, 3))).shape` is
    `(4, 2, 2, 2, 3)`.
    """

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(output_size, 3, data_format, **kwargs)
