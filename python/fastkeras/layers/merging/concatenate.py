"""The concatenation of several inputs."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.arguments import canonical_axis
from fastkeras.layers.merging.base_merge import Merge, shape_list


class Concatenate(Merge):
    """Joins its inputs along `axis`.

    Shapes: a list of inputs whose shapes are equal except along `axis` -> the same, with the sum of the sizes
    there.

    Raises:
        ValueError: the input is not a list, or the shapes do not fit.

    Example: `fastkeras.layers.Concatenate(axis=1)([numpy.ones((2, 3)), numpy.ones((2, 4))]).shape` is
    `(2, 7)`.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                "Concatenate takes a list of inputs: layer([x, y]). Received: an input of shape "
                f"{tuple(inputs.shape)}"
            )
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shapes = shape_list(self, input_shape)
        axis = canonical_axis(self.axis, len(shapes[0]), "Concatenate")
        result = list(shapes[0])
        for shape in shapes[1:]:
            fits = len(shape) == len(result) and all(
                i == axis or n is None or m is None or n == m
                for i, (n, m) in enumerate(zip(shape, result, strict=True))
            )
            if not fits:
                raise ValueError(
                    f"Concatenate: the shapes of the inputs must be equal except along axis {self.axis}. "
                    f"Received: shapes {shapes}"
                )
            for i, n in enumerate(shape):
                if i == axis:
                    result[i] = None if n is None or result[i] is None else result[i] + n
                elif result[i] is None:
                    result[i] = n
        return tuple(result)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        if (
            not isinstance(mask, (list, tuple))
            or not isinstance(inputs, (list, tuple))
            or len(mask) != len(inputs)
        ):
            raise ValueError(
                "Concatenate.compute_mask: `inputs` and `mask` must be lists of the same length. "
                f"Received: inputs={inputs!r}, mask={mask!r}"
            )
        if all(m is None for m in mask):
            return None
        full = [_full_mask(x, m) for x, m in zip(inputs, mask, strict=True)]
        return ops.any(ops.concatenate(full, axis=self.axis), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def concatenate(inputs: list[Any], axis: int = -1, **kwargs: Any) -> Any:
    """Joins the inputs along `axis`: `Concatenate(axis=axis, **kwargs)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def _full_mask(x: Any, mask: Any) -> Any:
    """A mask of the shape of the input `x`; True everywhere if it has none."""
    if mask is None:
        return ops.ones_like(x, dtype="bool")
    missing = len(x.shape) - len(mask.shape)
    if missing > 0:
        mask = ops.reshape(mask, (*mask.shape, *(1,) * missing))
    return ops.logical_and(mask, ops.ones_like(x, dtype="bool"))
