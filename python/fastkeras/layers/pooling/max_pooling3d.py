"""Max pooling over three dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.pooling.base_pooling import BasePooling


class MaxPooling3D(BasePooling):
    """The maximum of every window of volumes, per channel.

    Args:
        pool_size: the window, an integer, or a triple.
        strides: how far the window moves; None: `pool_size`.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        name: the layer's name.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, new_depth, new_height, new_width, channels)`.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.MaxPooling3D(2)(numpy.ones((4, 8, 8, 8, 3))).shape` is `(4, 4, 4, 4, 3)`.
    """

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pool_size,
            strides,
            pool_dimensions=3,
            pool_mode="max",
            padding=padding,
            data_format=data_format,
            name=name,
            **kwargs,
        )
