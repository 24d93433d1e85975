"""The difference of two inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.merging.base_merge import Merge, shape_list


class Subtract(Merge):
    """Subtracts the second of two inputs from the first, element by element.

    Shapes: a list of two inputs of the same shape, or shapes that broadcast -> that shape.

    Raises:
        ValueError: the input is not a list of two, or the shapes do not fit.

    Example: `fastkeras.layers.Subtract()([x, y])`.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shapes = shape_list(self, input_shape)
        if len(shapes) != 2:
            raise ValueError(f"Subtract takes exactly 2 inputs. Received: {len(shapes)}, of shapes {shapes}")

    def _merge_function(self, inputs: list[Any]) -> Any:
        if len(inputs) != 2:
            raise ValueError(f"Subtract takes exactly 2 inputs. Received: {len(inputs)}")
        return ops.subtract(inputs[0], inputs[1])


def subtract(inputs: list[Any], **kwargs: Any) -> Any:
    """Subtracts the second of two inputs from the first: `Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)
