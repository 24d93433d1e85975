"""The element by element product of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, input_masks


class Multiply(Merge):
    """Multiplies its inputs, element by element.

    Shapes: a list of inputs of the same shape, or shapes that broadcast -> that shape.

    Where every input carries a mask, masked values do not count.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Multiply()([x, y])`.
    """

    def _merge_function(self, inputs: list[Any]) -> Any:
        masks = input_masks(inputs)
        if masks is None:
            result = inputs[0]
            for x in inputs[1:]:
                result = ops.multiply(result, x)
            return result
        # What is masked does not count, like a factor 1; where everything is masked the result is 0.
        result, kept = _or_one(masks[0], inputs[0]), masks[0]
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            result = ops.multiply(result, _or_one(mask, x))
            kept = ops.logical_or(kept, mask)
        return ops.multiply(result, ops.cast(kept, result.dtype))


def multiply(inputs: list[Any], **kwargs: Any) -> Any:
    """Multiplies its inputs, element by element: `Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def _or_one(mask: Any, x: Any) -> Any:
    return ops.where(mask, x, ops.ones_like(x))
