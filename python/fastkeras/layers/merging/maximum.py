"""The element by element maximum of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, fold_masked, input_masks


class Maximum(Merge):
    """Takes the largest of its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    What a mask on an input hides does not count.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Maximum()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        return fold_masked(ops.maximum, inputs, input_masks(inputs))


def maximum(inputs: list[Any], **kwargs: Any) -> Any:
    """Takes the largest of its inputs, element by element: `Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)
