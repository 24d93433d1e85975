"""Global average pooling over one dimension."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.pooling.base_global_pooling import BaseGlobalPooling


class GlobalAveragePooling1D(BaseGlobalPooling):
    """The mean of every channel over the steps of sequences.

    Args:
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        keepdims: whether the reduced dimension stays, with size 1.

    Call arguments:
        inputs: tensor of three dimensions.
        mask: booleans `(batch, steps)`; only steps where it is True count.

    Shapes: `(batch, steps, channels)` -> `(batch, channels)`, or `(batch, 1, channels)` with `keepdims`.

    Example: `fastkeras.layers.GlobalAveragePooling1D()(numpy.ones((4, 8, 3))).shape` is `(4, 3)`.
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(pool_dimensions=1, data_format=data_format, keepdims=keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        axis = self._axes[0]
        if mask is None:
            return ops.mean(inputs, axis=axis, keepdims=self.keepdims)
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        total = ops.sum(ops.multiply(inputs, weights), axis=axis, keepdims=self.keepdims)
        return ops.divide(total, ops.sum(weights, axis=axis, keepdims=self.keepdims))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None
