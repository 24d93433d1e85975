"""What the attention layers with several projected heads share: masks, projections, the attention itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastkeras import config, constraints, initializers, ops, regularizers
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from fastkeras.layers.activations.softmax import Softmax
from fastkeras.layers.arguments import positive_int
from fastkeras.layers.attention.attention import causal_mask, window_mask
from fastkeras.layers.core.einsum_dense import EinsumDense
from fastkeras.layers.layer import Layer
from fastkeras.layers.regularization.dropout import Dropout
from fastkeras.layers.regularization.random_layer import checked_rate
from fastkeras.ops.nn.attention import fused_attention


class BaseMultiHead(Layer):
    """Attention over projected heads. Subclasses make the projections and define `_compute_attention`.

    Args:
        depth: features per head of query and key.
        dropout, use_bias, sliding_window, flash_attention, use_gate, seed: see the subclasses.
        options: initializers, regularizers and constraints of the projections, by name.
    """

    def __init__(
        self,
        depth: int,
        *,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        use_gate: bool,
        seed: int | None,
        options: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        cls = type(self).__name__
        self.supports_masking = True
        self._rate = checked_rate(dropout, "dropout", cls)
        self._with_bias = use_bias
        self._with_gate = use_gate
        self._window = None if sliding_window is None else positive_int(sliding_window, "sliding_window", cls)
        self.seed = seed
        self._scale = 1.0 / math.sqrt(depth)
        self._flash_attention = flash_attention or config.is_flash_attention_enabled()
        if self._flash_attention and self._rate > 0:
            raise ValueError(
                f"{cls}: flash attention has no dropout. Received: dropout={dropout!r} with flash attention "
                "enabled. Set `dropout=0`, or leave `flash_attention` at None and call "
                "`config.disable_flash_attention()`."
            )
        if flash_attention:
            raise NotImplementedError(
                f"{cls}: `flash_attention=True` is not supported: the engine decides how attention runs. Leave "
                "it at None."
            )
        self._projection_options = {
            "kernel_initializer": initializers.get(options["kernel_initializer"]),
            "bias_initializer": initializers.get(options["bias_initializer"]),
            "kernel_regularizer": regularizers.get(options["kernel_regularizer"]),
            "bias_regularizer": regularizers.get(options["bias_regularizer"]),
            "activity_regularizer": regularizers.get(options["activity_regularizer"]),
            "kernel_constraint": constraints.get(options["kernel_constraint"]),
            "bias_constraint": constraints.get(options["bias_constraint"]),
        }

    def _projection(
        self, equation: str, output_shape: tuple[int | None, ...], bias_axes: str, name: str, **kwargs: Any
    ) -> EinsumDense:
        return EinsumDense(
            equation,
            output_shape=output_shape,
            bias_axes=bias_axes if self._with_bias else None,
            name=name,
            **self._get_common_kwargs_for_sublayer(),
            **kwargs,
        )

    def _get_common_kwargs_for_sublayer(self) -> dict[str, Any]:
        """What all projections have in common, with initializers of their own: one gives the same values
        twice.
        """
        common = {**self._projection_options, "dtype": self.dtype_policy}
        for name in ("kernel_initializer", "bias_initializer"):
            given = common[name]
            if isinstance(given, initializers.Initializer):
                common[name] = type(given).from_config(given.get_config())
        return common

    def _build_softmax(self, axis: Any) -> None:
        self._softmax = Softmax(axis=axis, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(rate=self._rate, dtype=self.dtype_policy, seed=self.seed)

    # Masks.

    def _compute_attention_mask(
        self,
        query: Any,
        value: Any,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """All masks in one: booleans that broadcast to (batch, target length, source length), or None.

        Masks of queries are (batch, target length), those of values and keys (batch, source length).
        """
        parts = []
        if query_mask is not None:
            parts.append(ops.expand_dims(ops.cast(query_mask, "bool"), -1))
        for mask in (value_mask, key_mask):
            if mask is not None:
                parts.append(ops.expand_dims(ops.cast(mask, "bool"), -2))
        if use_causal_mask:
            parts.append(self._compute_causal_mask(query, value))
        if self._window is not None:
            parts.append(self._compute_sliding_window_mask(query, value))
        if not parts:
            return None if attention_mask is None else ops.cast(attention_mask, "bool")
        combined = parts[0]
        for part in parts[1:]:
            combined = ops.logical_and(combined, part)
        if attention_mask is None:
            return combined
        attention_mask = ops.cast(attention_mask, "bool")
        if len(attention_mask.shape) == 4 and len(combined.shape) == 3:
            # A mask per head.
            combined = ops.expand_dims(combined, 1)
        return ops.logical_and(attention_mask, combined)

    def _compute_causal_mask(self, query: Any, value: Any = None) -> Any:
        """Booleans of shape (1, target length, source length): the positions up to the query's own."""
        target = query.shape[1]
        return causal_mask(target, target if value is None else value.shape[1])

    def _compute_sliding_window_mask(self, query: Any, value: Any = None) -> Any:
        """Booleans of shape (1, target length, source length): the positions inside the window."""
        target = query.shape[1]
        return window_mask(target, target if value is None else value.shape[1], self._window)

    def _masked_softmax(self, attention_scores: Any, attention_mask: Any = None) -> Any:
        """The attention weights; those of a position that sees nothing are 0."""
        mask = self._for_heads(attention_mask, len(attention_scores.shape))
        return self._softmax(attention_scores, mask=mask)

    def _for_heads(self, mask: Any, ndim: int) -> Any:
        """`mask` with axes put in, for the heads and what else it lacks, up to `ndim`."""
        if mask is None:
            return None
        # The axes of targets and sources are the last ones.
        axis = -2 * self._attention_ndim() - 1
        while len(mask.shape) < ndim:
            mask = ops.expand_dims(mask, axis)
        return mask

    def _attention_ndim(self) -> int:
        return 1

    # The attention.

    def _takes_op(self, query: Any, return_attention_scores: bool) -> bool:
        """Whether `ops.dot_product_attention` does: it has no dropout and shows no weights."""
        return not (self._rate > 0 or return_attention_scores or len(query.shape) != 4)

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        training: bool | None,
        return_attention_scores: bool,
        use_causal_mask: bool,
    ) -> tuple[Any, Any]:
        """The heads' outputs, and the attention weights or None."""
        if self._flash_attention and return_attention_scores:
            raise ValueError(
                f"{type(self).__name__}: flash attention does not give the attention scores. Call "
                "`config.disable_flash_attention()`, or leave `return_attention_scores` at False."
            )
        if self._takes_op(query, return_attention_scores):
            mask = self._for_heads(attention_mask, 4)
            output = ops.dot_product_attention(
                query, key, value, mask=mask, scale=self._scale, is_causal=use_causal_mask
            )
            return output, None
        if len(query.shape) == 4 and not return_attention_scores and self._rate < 1:
            output = fused_attention(
                query,
                key,
                value,
                self._for_heads(attention_mask, 4),
                self._scale,
                use_causal_mask,
                rate=self._rate if training else 0.0,
                seed=self._dropout_layer.seed_generator,
                blank_zero=True,
            )
            return output, None
        if use_causal_mask:
            past = self._compute_causal_mask(query, value)
            attention_mask = (
                past if attention_mask is None else ops.logical_and(ops.cast(attention_mask, "bool"), past)
            )
        query = ops.multiply(query, self._scale)
        scores = self._masked_softmax(self._products(query, key), attention_mask)
        kept = self._dropout_layer(scores, training=training) if self._rate > 0 else scores
        return ops.einsum(self._combine_equation, kept, value), scores

    def _products(self, query: Any, key: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_products(query, key)`.")

    def _shared_config(self) -> dict[str, Any]:
        """The part of the configuration that describes the projections."""
        modules = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        return {
            name: modules[name.rpartition("_")[2]].serialize(value)
            for name, value in self._projection_options.items()
        }


@contextmanager
def masks_put_aside(*tensors: Any) -> Iterator[None]:
    """Takes the masks off the tensors while projections are called, which would warn that they drop them."""
    found = [(x, get_keras_mask(x)) for x in tensors]
    found = [(x, mask) for x, mask in found if mask is not None]
    for x, _ in found:
        set_keras_mask(x, None)
    try:
        yield
    finally:
        for x, mask in found:
            set_keras_mask(x, mask)


def check_key_and_value(layer: str, value_shape: Any, key_shape: Any) -> None:
    """Raises a ValueError if there is not a key for each value."""
    if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
        raise ValueError(
            f"{layer}: value and key must have the same shape but for the last dimension. Received: "
            f"value_shape={tuple(value_shape)}, key_shape={tuple(key_shape)}"
        )
