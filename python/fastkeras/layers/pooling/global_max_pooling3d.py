"""Global max pooling over three dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.pooling.base_global_pooling import BaseGlobalPooling


class GlobalMaxPooling3D(BaseGlobalPooling):
    """The maximum of every channel over all positions of volumes.

    Args:
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        keepdims: whether the reduced dimensions stay, with size 1.

    Shapes: `(batch, depth, height, width, channels)` -> `(batch, channels)`, or `(batch, 1, 1, 1, channels)`
    with `keepdims`.

    Example: `fastkeras.layers.GlobalMaxPooling3D()(numpy.ones((4, 8, 8, 8, 3))).shape` is `(4, 3)`.
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(pool_dimensions=3, data_format=data_format, keepdims=keepdims, **kwargs)

    def call(self, inputs: Any) -> Any:
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)
