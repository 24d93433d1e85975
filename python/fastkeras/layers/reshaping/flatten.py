"""A layer that flattens everything but the batch axis."""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import same_dtype_spec
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class Flatten(Layer):
    """Flattens the input, except the batch axis.

    Args:
        data_format: with "channels_first" the channels are moved last before flattening, so that weights
            trained on either format fit the other; None: the default of the settings.

    Shapes: `(batch, a, b, ...)` -> `(batch, a * b * ...)`; `(batch,)` -> `(batch, 1)`.

    Example: `fastkeras.layers.Flatten()(numpy.ones((4, 28, 28))).shape` is `(4, 784)`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"

    def call(self, inputs: Any) -> Any:
        shape = tuple(inputs.shape)
        if self._channels_first and len(shape) > 2:
            inputs = ops.transpose(inputs, (0, *range(2, len(shape)), 1))
        return ops.reshape(inputs, (shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
