"""The element by element product of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, fold_masked, input_masks


class Multiply(Merge):
    """Multiplies its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    What a mask on an input hides does not count. Where every input is hidden the result is 0.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Multiply()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        masks = input_masks(inputs)
        result = fold_masked(ops.multiply, inputs, masks)
        if masks is None or any(m is None for m in masks):
            return result
        counts = masks[0]
        for mask in masks[1:]:
            counts = ops.logical_or(counts, mask)
        return ops.multiply(result, ops.cast(counts, result.dtype))


def multiply(inputs: list[Any], **kwargs: Any) -> Any:
    """Multiplies its inputs, element by element: `Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)
