"""A layer that reorders axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops
from fastkeras.layers.arguments import same_dtype_spec
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class Permute(Layer):
    """Reorders the axes after the batch axis.

    Args:
        dims: which axis of the input comes at each place, counted from 1: `(2, 1)` swaps the first two.

    Raises:
        ValueError: `dims` is not a permutation of 1, 2, ...

    Example: `fastkeras.layers.Permute((2, 1))(numpy.ones((4, 10, 64))).shape` is `(4, 64, 10)`.
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: `dims` must hold every number from 1 to {len(self.dims)} once (axis 0 is the "
                f"batch). Received: dims={self.dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, axes=(0, *self.dims))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": self.dims}
