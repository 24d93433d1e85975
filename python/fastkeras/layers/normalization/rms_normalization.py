"""Normalisation by the root mean square."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.dtypes import result_type
from fastkeras.layers.arguments import canonical_axis, standardize_axes
from fastkeras.layers.layer import Layer


class RMSNormalization(Layer):
    """Divides by the root of the mean square along `axis`, then multiplies by the weight `scale`.

    Args:
        axis: the axis, or axes, to normalise over.
        epsilon: added to the mean square.

    Shapes: the output has the shape of the input; weights: scale of the sizes of the axes.

    Raises:
        ValueError: an axis does not exist.

    Example: `fastkeras.layers.RMSNormalization()(numpy.ones((8, 4)))`.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        axes = standardize_axes(self.axis)
        shape = tuple(input_shape[canonical_axis(a, len(input_shape), "RMSNormalization")] for a in axes)
        if None in shape:
            raise ValueError(
                f"RMSNormalization: the sizes of axes {axes} must be known to create the weight. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.axis = axes
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self.built = True

    def call(self, x: Any) -> Any:
        ndim = len(x.shape)
        axes = tuple(a % ndim for a in standardize_axes(self.axis))
        # Sums of many squares do not fit the short float types, so the arithmetic is in float32 at least.
        x = ops.cast(x, result_type(x.dtype, "float32"))
        mean_square = ops.mean(ops.square(x), axis=axes, keepdims=True)
        x = ops.multiply(x, ops.rsqrt(ops.add(mean_square, self.epsilon)))
        shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
        return ops.cast(
            ops.multiply(x, ops.reshape(ops.cast(self.scale, x.dtype), shape)), self.compute_dtype
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for axis in standardize_axes(self.axis):
            canonical_axis(axis, len(input_shape), "RMSNormalization")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}
