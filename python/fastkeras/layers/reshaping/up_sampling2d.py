"""Upsampling of images."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import spatial_axes, standardize_tuple
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.layers.reshaping.base_up_sampling import repeat_axes, scaled_shape

_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos3", "lanczos5", "nearest")


class UpSampling2D(Layer):
    """Makes images larger by whole factors.

    Args:
        size: factor, an integer, or a pair for height and width.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        interpolation: "nearest" (every pixel is repeated), "bilinear", "bicubic", "lanczos3" or "lanczos5".

    Shapes: `(batch, height, width, channels)` -> `(batch, height * size[0], width * size[1], channels)`.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.UpSampling2D(2)(numpy.ones((4, 8, 8, 3))).shape` is `(4, 16, 16, 3)`.
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.size = standardize_tuple(size, 2, "size")
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"UpSampling2D: `interpolation` must be one of {_INTERPOLATIONS}. "
                f"Received: interpolation={interpolation!r}"
            )
        self.input_spec = InputSpec(ndim=4)
        self._axes = spatial_axes(self.data_format, 2)

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return repeat_axes(inputs, self._axes, self.size)
        shape = tuple(inputs.shape)
        return ops.image.resize(
            inputs,
            tuple(shape[a] * n for a, n in zip(self._axes, self.size, strict=True)),
            interpolation=self.interpolation,
            data_format=self.data_format,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return scaled_shape(input_shape, self._axes, self.size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }
