"""The element by element mean of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.dtypes import result_type
from fastkeras.layers.merging.base_merge import Merge


class Average(Merge):
    """Averages its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Average()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        result = inputs[0]
        for x in inputs[1:]:
            result = ops.add(result, x)
        return ops.divide(result, len(inputs))

    def _output_dtype(self, inputs: list[Any]) -> str:
        return result_type(super()._output_dtype(inputs), float)


def average(inputs: list[Any], **kwargs: Any) -> Any:
    """Averages its inputs, element by element: `Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)
