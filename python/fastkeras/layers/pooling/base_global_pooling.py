"""What the global pooling layers share."""

from __future__ import annotations

from typing import Any

from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import spatial_axes
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BaseGlobalPooling(Layer):
    """A reduction over all of the `pool_dimensions` spatial dimensions; subclasses implement `call`."""

    def __init__(
        self,
        pool_dimensions: int,
        data_format: str | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=pool_dimensions + 2)
        self._axes = spatial_axes(self.data_format, pool_dimensions)
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if self.keepdims:
            return tuple(1 if i in self._axes else n for i, n in enumerate(input_shape))
        return tuple(n for i, n in enumerate(input_shape) if i not in self._axes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}
