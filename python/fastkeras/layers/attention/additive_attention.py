"""Attention whose scores are sums."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.attention.attention import Attention


class AdditiveAttention(Attention):
    """`Attention` whose scores are the sum over the features of `scale * tanh(query + key)` (Bahdanau's).

    Args:
        use_scale: whether the weight `scale`, of one number per feature, is there.
        dropout: the share of the attention weights that is dropped in training.
        **kwargs: `seed`, and what else `Layer` takes.

    Call arguments and shapes: those of `Attention`. All pairs of positions are added, so the product of batch,
    target length, source length and features is computed.

    Raises:
        ValueError: see `Attention`.

    Example: `fastkeras.layers.AdditiveAttention()([numpy.ones((2, 4, 8)), numpy.ones((2, 6, 8))])`.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        self._check_inputs(input_shape)
        size = input_shape[0][-1]
        self.scale = None
        if not self.use_scale:
            return
        if size is None:
            raise ValueError(
                "AdditiveAttention: the last dimension of the query must be known to create the scale. "
                f"Received: input_shape={[tuple(s) for s in input_shape]}"
            )
        self.scale = self.add_weight(name="scale", shape=(size,), initializer="glorot_uniform")

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        pairs = ops.tanh(ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3)))
        return ops.sum(pairs if self.scale is None else ops.multiply(self.scale, pairs), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config
