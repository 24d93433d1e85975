"""Normalisation to unit length."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.dtypes import result_type
from fastkeras.layers.arguments import canonical_axis, standardize_axes
from fastkeras.layers.layer import Layer


class UnitNormalization(Layer):
    """Scales the vectors along `axis` to length 1.

    Args:
        axis: the axis, or axes, over which the length is taken.

    Raises:
        ValueError: an axis does not exist.
        TypeError: `axis` is not an integer or a list of them.

    Example: `fastkeras.layers.UnitNormalization()(numpy.array([[3.0, 4.0]]))` gives `[[0.6, 0.8]]`.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        axes = standardize_axes(axis)
        self.axis: Any = axes if isinstance(axis, (list, tuple)) else axes[0]
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        # In float32 at least: squares and their sums leave the range of the short float types.
        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        # The floor keeps a zero vector, and its gradient, finite.
        total = ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-24)
        return ops.cast(ops.multiply(x, ops.rsqrt(total)), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for axis in standardize_axes(self.axis):
            canonical_axis(axis, len(input_shape), "UnitNormalization")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
