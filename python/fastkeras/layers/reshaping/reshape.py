"""A layer that reshapes everything but the batch axis."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.layers.arguments import same_dtype_spec
from fastkeras.layers.layer import Layer


class Reshape(Layer):
    """Reshapes the input, except the batch axis.

    Args:
        target_shape: the new shape without the batch axis; one value may be -1, and follows from the others.

    Raises:
        ValueError: more than one value is -1, or the number of elements would change.

    Example: `fastkeras.layers.Reshape((-1, 2))(numpy.ones((4, 12))).shape` is `(4, 6, 2)`.
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            target = tuple(operator.index(n) for n in target_shape)
        except TypeError:
            raise ValueError(
                "Reshape: `target_shape` must be a tuple of integers. Received: "
                f"target_shape={target_shape!r}"
            ) from None
        if target.count(-1) > 1:
            raise ValueError(
                f"Reshape: at most one value of `target_shape` can be -1. Received: target_shape={target}"
            )
        self.target_shape = target
        self.built = True

    def call(self, inputs: Any) -> Any:
        shape = tuple(inputs.shape)
        return ops.reshape(inputs, (shape[0], *self._resolve(shape[1:])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self._resolve(tuple(input_shape[1:])))

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def _resolve(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The target shape with -1 replaced by what follows from an input of `shape` (None: not known)."""
        target = self.target_shape
        if None in shape:
            return tuple(None if n == -1 else n for n in target)
        size = math.prod(shape)
        known = math.prod(n for n in target if n != -1)
        if -1 in target:
            fits = known > 0 and size % known == 0
            resolved = tuple(size // known if n == -1 else n for n in target) if fits else target
        else:
            fits, resolved = size == known, target
        if not fits:
            raise ValueError(
                f"Reshape: an input of shape {shape} without the batch axis has {size} elements, which do "
                f"not fit target_shape={target}."
            )
        return resolved

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}
