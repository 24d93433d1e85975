"""Attention of one head, without projections."""

from __future__ import annotations

from typing import Any

from fastkeras import ops, random
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.layer import Layer
from fastkeras.layers.regularization.random_layer import checked_rate


class Attention(Layer):
    """`softmax(scores(query, key)) value`, the scores being products of query and key (Luong's attention).

    Args:
        use_scale: whether a weight, a scalar that starts at 1, multiplies the scores.
        score_mode: `"dot"`: products of query and key; `"concat"`: the sum of `tanh(query + key)` over the
            features, times a weight.
        dropout: the share of the attention weights that is dropped in training.
        seed: int, for reproducible dropout.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Call arguments:
        inputs: list `[query, value]` or `[query, value, key]` of shapes (batch, target length, features),
            (batch, source length, value features), (batch, source length, features); the key is the value if
            it is not given.
        mask: list `[query mask, value mask]` of booleans (batch, length), each may be None; by default those
            that the inputs carry. Where the query's is False the output is 0, where the value's is False a
            position is not attended to.
        return_attention_scores: whether to return the attention weights too.
        training: whether to drop weights.
        use_causal_mask: whether a position attends to none after it.

    Shapes: the output is (batch, target length, value features), the attention weights are (batch, target
    length, source length).

    Raises:
        ValueError: `score_mode` or `dropout` has another value, or the inputs or the mask are not such a list.

    Example:

    ```python
    query, value = numpy.ones((2, 4, 8)), numpy.ones((2, 6, 8))
    fastkeras.layers.Attention()([query, value]).shape  # (2, 4, 8)
    ```
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"{type(self).__name__}: `score_mode` must be 'dot' or 'concat'. Received: "
                f"score_mode={score_mode!r}"
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = checked_rate(dropout, "dropout", type(self).__name__)
        self.seed = seed
        if self.dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        self._check_inputs(input_shape)
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones") if self.use_scale else None
        self.concat_score_weight = None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_inputs(inputs, mask)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        scores = self._calculate_scores(query, key)
        visible = self._calculate_score_mask(scores, value_mask, use_causal_mask)
        output, weights = self._apply_scores(scores, value, visible, training)
        if query_mask is not None:
            output = ops.where(ops.expand_dims(ops.cast(query_mask, "bool"), -1), output, 0)
        return (output, weights) if return_attention_scores else output

    # These three are what subclasses replace.

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        """How much every target position wants of every source position: (batch, target, source)."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if self.scale is None else ops.multiply(scores, self.scale)
        pairs = ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        if self.scale is not None:
            pairs = ops.multiply(pairs, self.scale)
        return ops.multiply(ops.sum(ops.tanh(pairs), axis=-1), self.concat_score_weight)

    def _calculate_score_mask(self, scores: Any, v_mask: Any, use_causal_mask: bool) -> Any:
        """Booleans that broadcast to the scores, False where a source position is hidden; or None."""
        visible = None if v_mask is None else ops.expand_dims(ops.cast(v_mask, "bool"), -2)
        if use_causal_mask:
            past = causal_mask(scores.shape[-2], scores.shape[-1])
            visible = past if visible is None else ops.logical_and(visible, past)
        return visible

    def _apply_scores(
        self, scores: Any, value: Any, scores_mask: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """The output and the attention weights."""
        if scores_mask is not None:
            # Finite, so that a position that sees nothing gets the mean of all and not NaN.
            distance = 65504.0 if scores.dtype == "float16" else 1.0e9
            scores = ops.where(scores_mask, scores, ops.subtract(scores, distance))
        weights = ops.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        return ops.matmul(weights, value), weights

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        self._check_inputs(inputs, mask)
        return mask[0] if mask else None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_inputs(inputs, mask)
        shapes = [tuple(x.shape) for x in inputs]
        output = KerasTensor(self.compute_output_shape(shapes), dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        return output, KerasTensor((*shapes[0][:-1], shapes[-1][-2]), dtype=self.compute_dtype)

    def _check_inputs(self, inputs: Any, mask: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(inputs, list) or len(inputs) not in (2, 3):
            found = f"a list of {len(inputs)}" if isinstance(inputs, list) else f"{type(inputs).__name__}"
            raise ValueError(
                f"{name}: the inputs must be a list, [query, value] or [query, value, key]. Received: {found}"
            )
        if mask is not None and not (isinstance(mask, list) and len(mask) in (2, 3)):
            found = f"a list of {len(mask)}" if isinstance(mask, list) else f"{type(mask).__name__}"
            raise ValueError(
                f"{name}: `mask` must be a list, [query_mask, value_mask], each of which may be None. "
                f"Received: {found}"
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def causal_mask(target: int, source: int) -> Any:
    """Booleans of shape (1, target, source): whether the source position is at or before the target's."""
    rows = ops.reshape(ops.arange(target, dtype="int32"), (1, target, 1))
    columns = ops.reshape(ops.arange(source, dtype="int32"), (1, 1, source))
    return ops.less_equal(columns, rows)


def window_mask(target: int, source: int, window: int) -> Any:
    """Booleans of shape (1, target, source): whether the two positions are less than `window` apart."""
    rows = ops.reshape(ops.arange(target, dtype="int32"), (1, target, 1))
    columns = ops.reshape(ops.arange(source, dtype="int32"), (1, 1, source))
    return ops.less(ops.abs(ops.subtract(rows, columns)), window)
