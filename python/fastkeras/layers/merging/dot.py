"""The dot product of two inputs along one axis of each."""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops
from fastkeras.layers.arguments import canonical_axis
from fastkeras.layers.merging.base_merge import Merge, shape_list


class Dot(Merge):
    """The dot product of two inputs, sample by sample.

    Args:
        axes: the axis to sum over, or a pair of them, one per input. Axis 0, the batch, is not allowed.
        normalize: whether the inputs are first scaled to norm 1 along the axis, so that the result is their
            cosine.

    Shapes: with `axes=(1, 2)`, `(batch, 3, 5)` and `(batch, 10, 3)` -> `(batch, 5, 10)`. Two inputs of two
    dimensions give `(batch, 1)`.

    Raises:
        ValueError: the sizes along the axes differ, or there are not two inputs.
        TypeError: `axes` is neither an integer nor a pair of them.

    Example: `fastkeras.layers.Dot(axes=1)([x, y])`.
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) for a in axes):
                raise TypeError(
                    f"Dot: `axes` must be an integer or a pair of integers. Received: axes={axes!r}"
                )
            if len(axes) != 2:
                raise ValueError(
                    f"Dot: `axes` must hold two integers, one per input. Received: axes={axes!r}"
                )
        self.axes = axes
        self.normalize = normalize

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def _axis_pair(self, shapes: list[tuple[int | None, ...]]) -> tuple[int, int]:
        if len(shapes) != 2:
            raise ValueError(f"Dot takes exactly 2 inputs. Received: {len(shapes)}, of shapes {shapes}")
        given = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        first, second = (canonical_axis(a, len(s), "Dot") for a, s in zip(given, shapes, strict=True))
        if first == 0 or second == 0:
            raise ValueError(
                f"Dot: the product cannot be taken along axis 0, the batch. Received: axes={self.axes}. If "
                "the inputs have no batch axis, give them one with `ops.expand_dims(x, 0)`."
            )
        n, m = shapes[0][first], shapes[1][second]
        if n is not None and m is not None and n != m:
            raise ValueError(
                f"Dot: the inputs have {n} values along axis {first} and {m} along axis {second}, and need "
                f"as many. Received: shapes {shapes} with axes={self.axes}"
            )
        return first, second

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                "Dot takes a list of two inputs: layer([x, y]). Received: an input of shape "
                f"{tuple(inputs.shape)}"
            )
        shapes = [tuple(x.shape) for x in inputs]
        first, second = self._axis_pair(shapes)
        x, y = inputs
        if self.normalize:
            x, y = ops.normalize(x, axis=first), ops.normalize(y, axis=second)
        # As a batch of matrix products: what is summed over goes last in x, and right behind the batch in y.
        x_free = [i for i in range(1, len(shapes[0])) if i != first]
        y_free = [i for i in range(1, len(shapes[1])) if i != second]
        batch, size = shapes[0][0], shapes[0][first]
        x_sizes, y_sizes = [shapes[0][i] for i in x_free], [shapes[1][i] for i in y_free]
        left = ops.reshape(ops.transpose(x, (0, *x_free, first)), (batch, math.prod(x_sizes), size))
        right = ops.reshape(ops.transpose(y, (0, second, *y_free)), (batch, size, math.prod(y_sizes)))
        return ops.reshape(ops.matmul(left, right), (batch, *(x_sizes + y_sizes or [1])))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shapes = shape_list(self, input_shape)
        first, second = self._axis_pair(shapes)
        free = [n for i, n in enumerate(shapes[0]) if i not in (0, first)]
        free += [n for i, n in enumerate(shapes[1]) if i not in (0, second)]
        batch = shapes[0][0] if shapes[0][0] is not None else shapes[1][0]
        return (batch, *(free or [1]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def dot(inputs: list[Any], axes: Any = -1, **kwargs: Any) -> Any:
    """The dot product of two inputs: `Dot(axes=axes, **kwargs)(inputs)`."""
    return Dot(axes=axes, **kwargs)(inputs)
