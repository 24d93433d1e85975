"""Upsampling of sequences."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.arguments import same_dtype_spec
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.layers.reshaping.base_up_sampling import repeat_axes, scaled_shape


class UpSampling1D(Layer):
    """Repeats every time step `size` times.

    Shapes: `(batch, steps, features)` -> `(batch, steps * size, features)`.

    Raises:
        TypeError: `size` is not an integer.
        ValueError: `size` is not positive.

    Example: `fastkeras.layers.UpSampling1D(2)(numpy.ones((4, 8, 3))).shape` is `(4, 16, 3)`.
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(
                f"UpSampling1D: `size` must be an integer. Received: size={size!r} of type "
                f"{type(size).__name__}"
            )
        if size < 1:
            raise ValueError(f"UpSampling1D: `size` must be positive. Received: size={size}")
        self.size = size
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        return repeat_axes(inputs, (1,), (self.size,))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return scaled_shape(input_shape, (1,), (self.size,))

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
