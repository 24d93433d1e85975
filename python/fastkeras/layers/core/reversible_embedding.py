"""An embedding that can also project back onto its vocabulary."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.dtypes import is_int_dtype
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.core.embedding import Embedding


class ReversibleEmbedding(Embedding):
    """An `Embedding` that, called with `reverse=True`, turns vectors into one logit per row of the table.

    Args:
        input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint,
            mask_zero: as for `Embedding`.
        tie_weights: whether the way back uses the table's transpose, or a weight of its own.
        reverse_dtype: type of the computation of the way back; None: that of the layer.
        logit_soft_cap: if set, logits become `tanh(logits / cap) * cap`.

    Call arguments:
        inputs: integers, or vectors of size `output_dim` with `reverse=True`.
        reverse: which way.

    Example:

    ```python
    layer = fastkeras.layers.ReversibleEmbedding(100, 32)
    vectors = layer(numpy.array([[3, 17]]))   # (1, 2, 32)
    logits = layer(vectors, reverse=True)     # (1, 2, 100)
    ```
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: str | None = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            **kwargs,
        )
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
                regularizer=self.embeddings_regularizer,
                constraint=self.embeddings_constraint,
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if not reverse:
            return super().call(inputs)
        kernel = ops.transpose(self._embeddings) if self.tie_weights else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs, kernel = ops.cast(inputs, self.reverse_dtype), ops.cast(kernel, self.reverse_dtype)
        logits = ops.matmul(inputs, kernel)
        if self.logit_soft_cap is not None:
            logits = ops.multiply(ops.tanh(ops.divide(logits, self.logit_soft_cap)), self.logit_soft_cap)
        return logits

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        # On the way back the inputs are vectors, which hold no padding index.
        return super().compute_mask(inputs, mask) if is_int_dtype(inputs.dtype) else None

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], reverse: bool = False
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        dtype = (self.reverse_dtype or self.compute_dtype) if reverse else self.compute_dtype
        return KerasTensor(self.compute_output_shape(tuple(inputs.shape), reverse), dtype=dtype)

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """The names of the saved weights, in order, by quantization mode."""
        return {None: ["embeddings"] if self.tie_weights else ["embeddings", "reverse_embeddings"]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
