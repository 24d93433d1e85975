"""What the zero padding layers share."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import same_dtype_spec, spatial_axes
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BaseZeroPadding(Layer):
    """Adds zeros around the spatial dimensions; `pairs` says how many before and after each."""

    def __init__(
        self, pairs: tuple[tuple[int, int], ...], data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        rank = len(pairs)
        self.padding: Any = pairs if rank > 1 else pairs[0]
        self.input_spec = InputSpec(ndim=rank + 2)
        self._pairs = pairs
        self._axes = spatial_axes(self.data_format, rank)

    def call(self, inputs: Any) -> Any:
        width = [(0, 0)] * len(inputs.shape)
        for axis, pair in zip(self._axes, self._pairs, strict=True):
            width[axis] = pair
        return ops.pad(inputs, tuple(width))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, (before, after) in zip(self._axes, self._pairs, strict=True):
            if shape[axis] is not None:
                shape[axis] += before + after
        return tuple(shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}
