"""The element by element minimum of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, fold_masked, input_masks


class Minimum(Merge):
    """Takes the smallest of its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    What a mask on an input hides does not count.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Minimum()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        return fold_masked(ops.minimum, inputs, input_masks(inputs))


def minimum(inputs: list[Any], **kwargs: Any) -> Any:
    """Takes the smallest of its inputs, element by element: `Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)
