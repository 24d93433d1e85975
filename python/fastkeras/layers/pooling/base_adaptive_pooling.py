"""What the adaptive pooling layers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import spatial_axes, standardize_tuple
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BaseAdaptivePooling(Layer):
    """Pools to a fixed size `n`: window `i` covers positions `floor(i L / n)` to `ceil((i + 1) L / n)`."""

    def __init__(
        self, output_size: Any, pool_dimensions: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        try:
            self.output_size = standardize_tuple(output_size, pool_dimensions, "output_size")
        except ValueError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=pool_dimensions + 2)
        self._axes = spatial_axes(self.data_format, pool_dimensions)

    def _pool_axis(self, x: Any, axis: int, size: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_pool_axis`.")

    def call(self, inputs: Any) -> Any:
        # A window is a box, so that axes can be pooled one after the other.
        x = inputs
        for axis, size in zip(self._axes, self.output_size, strict=True):
            x = self._pool_axis(x, axis, size)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, size in zip(self._axes, self.output_size, strict=True):
            shape[axis] = size
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}


class BaseAdaptiveAveragePooling(BaseAdaptivePooling):
    """The mean of every window."""

    def _pool_axis(self, x: Any, axis: int, size: int) -> Any:
        starts, stops = _windows(x.shape[axis], size)
        positions = np.arange(x.shape[axis])
        inside = (positions >= starts[:, None]) & (positions < stops[:, None])
        weights = (inside / (stops - starts)[:, None]).astype("float32")
        last = len(x.shape) - 1
        moved = x if axis == last else ops.moveaxis(x, axis, last)
        pooled = ops.matmul(moved, ops.cast(ops.convert_to_tensor(weights.T.copy()), x.dtype))
        return pooled if axis == last else ops.moveaxis(pooled, last, axis)


class BaseAdaptiveMaxPooling(BaseAdaptivePooling):
    """The maximum of every window."""

    def _pool_axis(self, x: Any, axis: int, size: int) -> Any:
        starts, stops = _windows(x.shape[axis], size)
        # Windows differ in length by one: the shorter ones look at their last position twice.
        width = int((stops - starts).max())
        indices = np.minimum(starts[:, None] + np.arange(width), stops[:, None] - 1).astype("int32")
        shape = tuple(x.shape)
        taken = ops.take(x, ops.convert_to_tensor(indices.reshape(-1)), axis=axis)
        windows = ops.reshape(taken, (*shape[:axis], size, width, *shape[axis + 1 :]))
        return ops.max(windows, axis=axis + 1)


def _windows(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First positions of the `size` windows over `length`, and the positions behind their last ones."""
    i = np.arange(size)
    return i * length // size, -(-(i + 1) * length // size)
