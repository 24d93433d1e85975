"""Upsampling of volumes."""

from __future__ import annotations

from typing import Any

from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import same_dtype_spec, spatial_axes, standardize_tuple
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.layers.reshaping.base_up_sampling import repeat_axes, scaled_shape


class UpSampling3D(Layer):
    """Repeats every voxel, `size` times along each spatial dimension.

    Args:
        size: an integer, or a triple for depth, height and width.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, depth * size[0], height * size[1], width * size[2], channels)`.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.UpSampling3D(2)(numpy.ones((4, 8, 8, 8, 3))).shape` is `(4, 16, 16, 16, 3)`.
    """

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.size = standardize_tuple(size, 3, "size")
        self.input_spec = InputSpec(ndim=5)
        self._axes = spatial_axes(self.data_format, 3)

    def call(self, inputs: Any) -> Any:
        return repeat_axes(inputs, self._axes, self.size)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return scaled_shape(input_shape, self._axes, self.size)

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}
