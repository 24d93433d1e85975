"""The embedding layer: rows of a trained table, looked up by index."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import constraints, initializers, ops, regularizers
from fastkeras.core.dtypes import is_int_dtype
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.arguments import positive_int, refuse_lora, refuse_quantization
from fastkeras.layers.layer import Layer


class Embedding(Layer):
    """Turns indices in `[0, input_dim)` into vectors of size `output_dim`.

    Args:
        input_dim: number of rows of the table.
        output_dim: size of a row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether index 0 is padding, masked out in the layers that follow.
        weights: optional array of shape `(input_dim, output_dim)`, the table's first value.
        lora_rank, lora_alpha, quantization_config: not supported, must be None.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, ...)` integers -> `(batch, ..., output_dim)`; weights: embeddings
    `(input_dim, output_dim)`.

    Raises:
        ValueError: a size is not a positive integer. An index outside the table is an error when the lookup
            runs.

    Example:

    ```python
    layer = fastkeras.layers.Embedding(1000, 64, mask_zero=True)
    layer(numpy.array([[3, 17, 0]])).shape  # (1, 3, 64)
    ```
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_quantization("Embedding", lora_rank=lora_rank, quantization_config=quantization_config)
        if kwargs.pop("input_length", None) is not None:
            warnings.warn("Embedding: `input_length` has no effect. Leave it out.", stacklevel=2)
        super().__init__(**kwargs)
        self.input_dim = positive_int(input_dim, "input_dim", "Embedding")
        self.output_dim = positive_int(output_dim, "output_dim", "Embedding")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self._embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    @property
    def embeddings(self) -> Any:
        """The table, of shape `(input_dim, output_dim)`. An AttributeError before `build`."""
        if not self.built:
            raise AttributeError(
                "Embedding: the table exists once the layer is built. Call the layer, or `build`."
            )
        return self._embeddings

    def call(self, inputs: Any) -> Any:
        if not is_int_dtype(inputs.dtype):
            inputs = ops.cast(inputs, "int32")
        # Rows are cast once they are taken: not the whole table, and their gradients add up in its own type.
        return ops.cast(ops.take(self._embeddings._read(), inputs, axis=0), self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(self.compute_output_shape(tuple(inputs.shape)), dtype=self.compute_dtype)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_lora("Embedding")

    def quantized_build(self, embeddings_shape: Any, mode: str, config: Any = None) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_quantization(type(self).__name__, mode=mode)

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """The names of the saved weights, in order, by quantization mode."""
        return {None: ["embeddings"]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "quantization_config": None,
        }
