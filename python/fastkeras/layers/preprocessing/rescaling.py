"""A layer that multiplies by a constant and adds one."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras.core.config import image_data_format
from fastkeras.layers.preprocessing.data_layer import DataLayer


class Rescaling(DataLayer):
    """Computes `inputs * scale + offset`, in floating point, in training and inference.

    Args:
        scale: a number, or one per channel.
        offset: a number, or one per channel.

    Shapes: the output has the shape of the input.

    Example: `fastkeras.layers.Rescaling(1 / 255)(images)` brings bytes into `[0, 1]`.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        ndim = len(x.shape)
        return ops.add(ops.multiply(x, self._constant(self.scale, ndim)), self._constant(self.offset, ndim))

    def _constant(self, value: Any, ndim: int) -> Any:
        if isinstance(value, (int, float)):
            return value
        array = np.asarray(value)
        if array.ndim == 1 and image_data_format() == "channels_first" and ndim > 2:
            array = array.reshape(-1, *(1,) * (ndim - 2))
        return ops.convert_to_tensor(array, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": _plain(self.scale), "offset": _plain(self.offset)}


def _plain(value: Any) -> Any:
    """Numbers and lists for the configuration, whatever array type was given."""
    if isinstance(value, (int, float)):
        return value
    return value if isinstance(value, (list, tuple)) else np.asarray(value).tolist()
