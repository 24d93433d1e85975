"""A layer that repeats its input along a new axis."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.arguments import same_dtype_spec
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class RepeatVector(Layer):
    """Repeats vectors `n` times, as the steps of a sequence.

    Shapes: `(batch, features)` -> `(batch, n, features)`.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` is not positive.

    Example: `fastkeras.layers.RepeatVector(3)(numpy.ones((4, 32))).shape` is `(4, 3, 32)`.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(
                f"RepeatVector: `n` must be an integer. Received: n={n!r} of type {type(n).__name__}"
            )
        if n < 1:
            raise ValueError(f"RepeatVector: `n` must be positive. Received: n={n}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        batch, features = inputs.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (batch, self.n, features))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.n, input_shape[1])

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}
