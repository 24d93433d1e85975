"""The element by element maximum of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, input_masks


class Maximum(Merge):
    """Takes the largest of its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    Where every input carries a mask, masked values do not count.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Maximum()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        masks = input_masks(inputs)
        result = inputs[0]
        if masks is None:
            for x in inputs[1:]:
                result = ops.maximum(result, x)
            return result
        kept = masks[0]
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            chosen = ops.where(mask, x, result)
            result = ops.where(ops.logical_and(kept, mask), ops.maximum(result, x), chosen)
            kept = ops.logical_or(kept, mask)
        return result


def maximum(inputs: list[Any], **kwargs: Any) -> Any:
    """Takes the largest of its inputs, element by element: `Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)
