"""Multi-head attention in which several heads share a key and a value."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.layers.arguments import positive_int
from fastkeras.layers.attention.base_multi_head import (
    BaseMultiHead,
    check_key_and_value,
    masks_put_aside,
)


class GroupedQueryAttention(BaseMultiHead):
    """Attention with more heads of the query than of key and value (Ainslie et al., grouped-query attention).

    One head of key and value is multi-query attention; as many as the query has is multi-head attention.

    Args:
        head_dim: features per head.
        num_query_heads: heads of the query.
        num_key_value_heads: heads of key and value, each of which serves as many of the query's.
        dropout: the share of the attention weights that is dropped in training.
        use_bias: whether the projections add a bias.
        sliding_window: positions this far apart, or further, do not see each other; None: no limit.
        flash_attention: None or False: the engine decides how attention runs; True is refused.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint: of every projection.
        use_gate: whether the heads' outputs are multiplied by the sigmoid of another projection of the query.
        seed: int, for reproducible dropout.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Call arguments:
        query: (batch, target length, features).
        value: (batch, source length, features).
        key: (batch, source length, features); None: the value.
        query_mask, value_mask, key_mask: booleans (batch, length); by default those that the tensors carry.
        attention_mask: booleans (batch, target length, source length), or what broadcasts to it, or with an
            axis for the heads after the batch: False hides a source position from a target position.
        return_attention_scores: whether to return the attention weights too.
        training: whether to drop weights.
        use_causal_mask: whether a position attends to none after it.

    Shapes: the output is (batch, target length, features of the query), the attention weights are (batch, query
    heads, target length, source length).

    Raises:
        ValueError: an argument is out of range, or the shapes do not fit together.
        NotImplementedError: `flash_attention=True`.

    Example:

    ```python
    layer = fastkeras.layers.GroupQueryAttention(head_dim=8, num_query_heads=4, num_key_value_heads=2)
    x = numpy.ones((4, 10, 16))
    layer(x, x).shape  # (4, 10, 16)
    ```
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cls = type(self).__name__
        head_dim = positive_int(head_dim, "head_dim", cls)
        num_query_heads = positive_int(num_query_heads, "num_query_heads", cls)
        num_key_value_heads = positive_int(num_key_value_heads, "num_key_value_heads", cls)
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"{cls}: `num_query_heads` must be a multiple of `num_key_value_heads`. Received: "
                f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}"
            )
        super().__init__(
            head_dim,
            dropout=dropout,
            use_bias=use_bias,
            sliding_window=sliding_window,
            flash_attention=flash_attention,
            use_gate=use_gate,
            seed=seed,
            options={
                "kernel_initializer": kernel_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
                "bias_regularizer": bias_regularizer,
                "activity_regularizer": activity_regularizer,
                "kernel_constraint": kernel_constraint,
                "bias_constraint": bias_constraint,
            },
            # Of the layer's output, beside those of its projections.
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads
        self.num_repeats = num_query_heads // num_key_value_heads
        self._return_attention_scores = False

    @property
    def dropout(self) -> float:
        """The share of attention weights that is dropped in training."""
        return self._rate

    @property
    def use_bias(self) -> bool:
        """Whether the projections add a bias."""
        return self._with_bias

    @property
    def use_gate(self) -> bool:
        """Whether the heads' outputs are gated."""
        return self._with_gate

    @property
    def sliding_window(self) -> int | None:
        """From which distance on positions do not see each other."""
        return self._window

    def build(
        self,
        query_shape: tuple[int | None, ...],
        value_shape: tuple[int | None, ...],
        key_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        cls = type(self).__name__
        for name, shape in (("query", query_shape), ("value", value_shape), ("key", key_shape)):
            if len(shape) != 3:
                raise ValueError(
                    f"{cls}: the {name} must have 3 dimensions, (batch, length, features). Received: "
                    f"{name}_shape={tuple(shape)}"
                )
        check_key_and_value(cls, value_shape, key_shape)
        self.feature_dim = query_shape[-1]
        query_heads = (None, self.num_query_heads, self.head_dim)
        key_heads = (None, self.num_key_value_heads, self.head_dim)
        # Letters: batch, query length, key length, model, query heads (u), key heads (v), head features.
        self._query_dense = self._projection("bqm,muh->bquh", query_heads, "uh", "query")
        self._query_dense.build(tuple(query_shape))
        self._key_dense = self._projection("bkm,mvh->bkvh", key_heads, "vh", "key")
        self._key_dense.build(tuple(key_shape))
        if self._with_gate:
            self._gate_dense = self._projection(
                "bqm,muh->bquh", query_heads, "uh", "gate", activation="sigmoid"
            )
            self._gate_dense.build(tuple(query_shape))
        self._value_dense = self._projection("bkm,mvh->bkvh", key_heads, "vh", "value")
        self._value_dense.build(tuple(value_shape))
        self._build_softmax(-1)
        self._dot_product_equation = "bquh,bkuh->buqk"
        self._combine_equation = "buqk,bkuh->bquh"
        self._output_dense = self._projection(
            "bquh,uhm->bqm", (None, self.feature_dim), "m", "attention_output"
        )
        self._output_dense.build((None, None, self.num_query_heads, self.head_dim))

    def _products(self, query: Any, key: Any) -> Any:
        return ops.einsum(self._dot_product_equation, query, key)

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        """The attention of projected heads; subclasses may replace it, and get keys and values repeated.

        Args:
            query, key, value: (batch, length, heads, features).
            attention_mask: all masks in one, or None.
            training: that of the call.
            use_causal_mask: whether to mask causally; passed only if that is the only mask.

        Returns:
            `(output, attention weights or None)`.
        """
        scores = self._return_attention_scores
        if not self._takes_op(query, scores):
            key, value = self._repeated(key), self._repeated(value)
        return self._attend(query, key, value, attention_mask, training, scores, use_causal_mask)

    def _repeated(self, x: Any) -> Any:
        """Keys or values with a head for every one of the query's."""
        return x if x.shape[2] == self.num_query_heads else ops.repeat(x, self.num_repeats, axis=2)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        self._return_attention_scores = return_attention_scores
        key = value if key is None else key
        own = type(self)._compute_attention is GroupedQueryAttention._compute_attention
        others = (query_mask, value_mask, key_mask, attention_mask, self._window)
        # A causal mask alone need not be made: the attention knows it.
        causal_only = use_causal_mask and own and all(m is None for m in others)
        if not causal_only:
            attention_mask = self._compute_attention_mask(
                query,
                value,
                query_mask=query_mask,
                value_mask=value_mask,
                key_mask=key_mask,
                attention_mask=attention_mask,
                use_causal_mask=use_causal_mask,
            )
        with masks_put_aside(query, value, key):
            gate = self._gate_dense(query) if self._with_gate else None
            query, key, value = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        if not own:
            key, value = self._repeated(key), self._repeated(value)
        output, scores = self._compute_attention(
            query,
            key,
            value,
            attention_mask=attention_mask,
            training=training,
            **({"use_causal_mask": True} if causal_only else {}),
        )
        output = self._output_dense(output if gate is None else ops.multiply(output, gate))
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(
        self,
        query_shape: tuple[int | None, ...],
        value_shape: tuple[int | None, ...],
        key_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        cls = type(self).__name__
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                f"{cls}: query and value must have the same last dimension. Received: "
                f"query_shape={tuple(query_shape)}, value_shape={tuple(value_shape)}"
            )
        check_key_and_value(cls, value_shape, value_shape if key_shape is None else key_shape)
        return tuple(query_shape)

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        target, source = tuple(query.shape), tuple(value.shape)
        shape = self.compute_output_shape(target, source, None if key is None else tuple(key.shape))
        output = KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (target[0], self.num_query_heads, target[1], source[1])
        return output, KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self._with_bias,
            "use_gate": self._with_gate,
            "sliding_window": self._window,
            "dropout": self._rate,
            **self._shared_config(),
            "seed": self.seed,
        }


# The public name; that of the class names layers and their groups in files, as in Keras.
GroupQueryAttention = GroupedQueryAttention
