"""The element by element sum of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge


class Add(Merge):
    """Adds its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Add()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        result = inputs[0]
        for x in inputs[1:]:
            result = ops.add(result, x)
        return result


def add(inputs: list[Any], **kwargs: Any) -> Any:
    """Adds its inputs, element by element: `Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)
