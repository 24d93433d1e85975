"""Category numbers as vectors."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.arguments import positive_int
from fastkeras.layers.preprocessing.data_layer import DataLayer

_MODES = ("multi_hot", "one_hot", "count")


class CategoryEncoding(DataLayer):
    """Turns integers from 0 to `num_tokens - 1` into vectors of `num_tokens` numbers.

    Args:
        num_tokens: how many categories there are.
        output_mode: `"one_hot"`: a vector per integer, with a 1 at it; `"multi_hot"`: a vector per sample, with a
            1 at every integer in it; `"count"`: a vector per sample, with how often every integer is in it.
        sparse: must be False.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Call arguments:
        inputs: integers, (tokens,) or (batch, tokens).
        count_weights: with `"count"`: what every integer counts, in the shape of the inputs.

    Shapes: (batch, num_tokens); of `"one_hot"` (*inputs, num_tokens), a last axis of size 1 being dropped first.

    Raises:
        ValueError: an argument has another value, or `count_weights` is passed with another mode.
        NotImplementedError: `sparse=True`.

    Example: `fastkeras.layers.CategoryEncoding(4, "count")([[0, 1, 1]])` gives `[[1, 2, 0, 0]]`.
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        output_mode = "multi_hot" if output_mode == "binary" else output_mode
        if output_mode not in _MODES:
            raise ValueError(
                f"CategoryEncoding: `output_mode` must be one of {_MODES}. Received: "
                f"output_mode={output_mode!r}"
            )
        if sparse:
            raise NotImplementedError(
                "CategoryEncoding: sparse tensors are not supported. Leave `sparse` at False."
            )
        self.num_tokens = positive_int(num_tokens, "num_tokens", "CategoryEncoding")
        self.output_mode = output_mode
        self.sparse = sparse
        self._allow_non_tensor_positional_args = True
        self._convert_input_args = False

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                "CategoryEncoding: `count_weights` is for `output_mode='count'`. Received: "
                f"output_mode={self.output_mode!r}"
            )
        x = ops.convert_to_tensor(inputs)
        if len(x.shape) == 0:
            x = ops.expand_dims(x, -1)
        if self.output_mode == "one_hot":
            if len(x.shape) > 1 and x.shape[-1] == 1:
                x = ops.squeeze(x, -1)
            return ops.one_hot(x, self.num_tokens, dtype=self.dtype)
        if self.output_mode == "multi_hot":
            return ops.multi_hot(x, self.num_tokens, dtype=self.dtype)
        vectors = ops.one_hot(x, self.num_tokens, dtype=self.dtype)
        if count_weights is not None:
            weights = ops.convert_to_tensor(count_weights, dtype=self.compute_dtype)
            vectors = ops.multiply(vectors, ops.expand_dims(weights, -1))
        return ops.sum(vectors, axis=1 if len(x.shape) > 1 else 0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        if self.output_mode == "one_hot":
            kept = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
        else:
            kept = (shape[0], *shape[2:]) if len(shape) > 1 else ()
        return (*kept, self.num_tokens)

    def compute_output_spec(self, inputs: Any, count_weights: Any = None) -> Any:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "output_mode": self.output_mode}
