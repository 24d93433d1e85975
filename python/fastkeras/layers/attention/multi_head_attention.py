"""Multi-head attention."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastkeras import ops
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from fastkeras.layers.arguments import positive_int
from fastkeras.layers.attention.base_multi_head import BaseMultiHead, check_key_and_value


class MultiHeadAttention(BaseMultiHead):
    """Attention of several heads, each with its own projections of query, key and value (Vaswani et al.).

    Query, key and value are projected to `num_heads` heads of `key_dim` or `value_dim` features. Per head, the
    output is `softmax(query key^T / sqrt(key_dim)) value`; a last projection joins the heads.

    Args:
        num_heads: number of heads.
        key_dim: features per head of query and key.
        value_dim: features per head of the value; None: `key_dim`.
        dropout: the share of the attention weights that is dropped in training.
        use_bias: whether the projections add a bias.
        output_shape: the output's size or sizes after the sequence; None: the query's number of features.
        attention_axes: the axes, counted with the batch, that are attended over; None: all between batch and
            features.
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
        query_mask: taken from the query, whatever is passed. The mask is the output's too.
        value_mask, key_mask: booleans (batch, source length) that hide source positions; by default those that
            value and key carry.
        attention_mask: booleans (batch, target length, source length), or what broadcasts to it, or with an
            axis for the heads after the batch: False hides a source position from a target position.
        return_attention_scores: whether to return the attention weights too.
        training: whether to drop weights.
        use_causal_mask: whether a position attends to none after it.

    The call takes the masks off query, value and key, as Keras does: a second layer called on the same tensor
    sees no mask.

    Shapes: the output is (batch, target length, output size), the attention weights are (batch, heads, target
    length, source length).

    Raises:
        ValueError: an argument is out of range, or the shapes do not fit together.
        NotImplementedError: `flash_attention=True`.

    Example:

    ```python
    layer = fastkeras.layers.MultiHeadAttention(num_heads=2, key_dim=8)
    x = numpy.ones((4, 10, 16))
    layer(x, x, use_causal_mask=True).shape  # (4, 10, 16)
    ```
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: int | Sequence[int] | None = None,
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
        num_heads = positive_int(num_heads, "num_heads", cls)
        key_dim = positive_int(key_dim, "key_dim", cls)
        value_dim = key_dim if value_dim is None else positive_int(value_dim, "value_dim", cls)
        super().__init__(
            key_dim,
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
            **kwargs,
        )
        self._num_heads = num_heads
        self._key_dim = key_dim
        self._value_dim = value_dim
        self._output_shape = _checked_output_shape(output_shape, cls)
        if attention_axes is not None and not isinstance(attention_axes, (int, list, tuple)):
            raise ValueError(
                f"{cls}: `attention_axes` must be an integer, or a list or tuple of integers. Received: "
                f"attention_axes={attention_axes!r}"
            )
        self._attention_axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes

    @property
    def num_heads(self) -> int:
        """The number of heads."""
        return self._num_heads

    @property
    def key_dim(self) -> int:
        """Features per head of query and key."""
        return self._key_dim

    @property
    def value_dim(self) -> int:
        """Features per head of the value."""
        return self._value_dim

    @property
    def dropout(self) -> float:
        """The share of attention weights that is dropped in training."""
        return self._rate

    @property
    def use_bias(self) -> bool:
        """Whether the projections add a bias."""
        return self._with_bias

    @property
    def attention_axes(self) -> Any:
        """The axes that are attended over; once built, a tuple counted from the front."""
        return self._attention_axes

    @property
    def query_dense(self) -> Any:
        """The projection of the query, an `EinsumDense`."""
        return self._query_dense

    @property
    def key_dense(self) -> Any:
        """The projection of the key."""
        return self._key_dense

    @property
    def value_dense(self) -> Any:
        """The projection of the value."""
        return self._value_dense

    @property
    def output_dense(self) -> Any:
        """The projection that joins the heads."""
        return self._output_dense

    def build(
        self,
        query_shape: tuple[int | None, ...],
        value_shape: tuple[int | None, ...],
        key_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        cls = type(self).__name__
        check_key_and_value(cls, value_shape, key_shape)
        if len(query_shape) != len(value_shape) or len(query_shape) < 3:
            raise ValueError(
                f"{cls}: query and value must have the same number of dimensions, 3 or more: (batch, length, "
                f"features). Received: query_shape={tuple(query_shape)}, value_shape={tuple(value_shape)}"
            )
        self._query_dense = self._heads(query_shape, self._key_dim, "query")
        self._key_dense = self._heads(key_shape, self._key_dim, "key")
        if self._with_gate:
            self._gate_dense = self._heads(query_shape, self._value_dim, "gate", activation="sigmoid")
        self._value_dense = self._heads(value_shape, self._value_dim, "value")
        self._build_attention(len(value_shape) + 1)
        sizes = self._output_shape or (query_shape[-1],)
        equation, bias_axes = _projection_equation(len(query_shape) - 1, 2, len(sizes))
        output_shape = (None,) * (len(query_shape) - 2) + tuple(sizes)
        self._output_dense = self._projection(equation, output_shape, bias_axes, "attention_output")
        self._output_dense.build((*query_shape[:-1], self._num_heads, self._value_dim))

    def _heads(self, shape: tuple[int | None, ...], size: int, name: str, **kwargs: Any) -> Any:
        """The projection from `shape` to heads of `size` features."""
        equation, bias_axes = _projection_equation(len(shape) - 1, 1, 2)
        output_shape = (*(None,) * (len(shape) - 2), self._num_heads, size)
        projection = self._projection(equation, output_shape, bias_axes, name, **kwargs)
        projection.build(tuple(shape))
        return projection

    def _build_attention(self, rank: int) -> None:
        """Prepares the attention for projected tensors of `rank` dimensions."""
        self._attention_axes = _full_axes(self._attention_axes, rank, type(self).__name__)
        equations = _attention_equations(rank, self._attention_axes)
        self._dot_product_equation = equations.products
        self._combine_equation = equations.combine
        self._build_softmax(tuple(range(equations.rank - len(self._attention_axes), equations.rank)))

    def _attention_ndim(self) -> int:
        return len(self._attention_axes)

    def _products(self, query: Any, key: Any) -> Any:
        return ops.einsum(self._dot_product_equation, key, query)

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        """The attention of projected heads; subclasses may replace it.

        Args:
            query, key, value: (batch, length, heads, features).
            attention_mask: all masks in one, or None.
            training, return_attention_scores: those of the call.
            use_causal_mask: whether to mask causally; passed only if that is the only mask.

        Returns:
            `(output, attention weights or None)`.
        """
        return self._attend(
            query, key, value, attention_mask, training, return_attention_scores, use_causal_mask
        )

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
        key = value if key is None else key
        query_mask = get_keras_mask(query)
        for x in (query, value, key):
            set_keras_mask(x, None)
        others = (query_mask, value_mask, key_mask, attention_mask, self._window)
        # A causal mask alone need not be made: the attention knows it.
        causal_only = (
            use_causal_mask
            and all(m is None for m in others)
            and type(self)._compute_attention is MultiHeadAttention._compute_attention
        )
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
        gate = self._gate_dense(query) if self._with_gate else None
        output, scores = self._compute_attention(
            self._query_dense(query),
            self._key_dense(key),
            self._value_dense(value),
            attention_mask,
            training,
            return_attention_scores,
            **({"use_causal_mask": True} if causal_only else {}),
        )
        if gate is not None:
            output = ops.multiply(output, gate)
        output = self._output_dense(output)
        if query_mask is not None:
            set_keras_mask(output, query_mask)
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(
        self,
        query_shape: tuple[int | None, ...],
        value_shape: tuple[int | None, ...],
        key_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        check_key_and_value(type(self).__name__, value_shape, value_shape if key_shape is None else key_shape)
        return (*query_shape[:-1], *(self._output_shape or (query_shape[-1],)))

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
        axes = _full_axes(self._attention_axes, len(source) + 1, type(self).__name__)
        free = [d for i, d in enumerate(target[:-1]) if i not in axes]
        scores = (*free, self._num_heads, *(target[a] for a in axes), *(source[a] for a in axes))
        return output, KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self._num_heads,
            "key_dim": self._key_dim,
            "value_dim": self._value_dim,
            "dropout": self._rate,
            "use_bias": self._with_bias,
            "use_gate": self._with_gate,
            "output_shape": self._output_shape,
            "attention_axes": self._attention_axes,
            "sliding_window": self._window,
            **self._shared_config(),
            "seed": self.seed,
        }


class _Equations(NamedTuple):
    products: str
    combine: str
    # Dimensions of the attention weights.
    rank: int


def _checked_output_shape(shape: Any, layer: str) -> tuple[int, ...] | None:
    if not shape:
        return shape
    if isinstance(shape, int):
        return (shape,)
    if not isinstance(shape, (list, tuple)):
        raise ValueError(
            f"{layer}: `output_shape` must be an integer, or a list or tuple of integers. Received: "
            f"output_shape={shape!r}"
        )
    return tuple(shape)


def _full_axes(axes: Any, rank: int, layer: str) -> tuple[int, ...]:
    """The attended axes counted from the front, for projected tensors of `rank` dimensions."""
    if axes is None:
        return tuple(range(1, rank - 2))
    full = tuple(a if a >= 0 else rank - 1 + a for a in axes)
    if any(not 0 < a < rank - 2 for a in full):
        raise ValueError(
            f"{layer}: `attention_axes` must lie between the batch and the features. Received: "
            f"attention_axes={tuple(axes)} for inputs of {rank - 1} dimensions."
        )
    return full


def _projection_equation(free: int, contracted: int, made: int) -> tuple[str, str]:
    """The equation that replaces the last `contracted` axes, after `free` others, and the new axes' letters."""
    letters = string.ascii_lowercase
    kept, old = letters[:free], letters[free : free + contracted]
    new = letters[free + contracted : free + contracted + made]
    return f"{kept}{old},{old}{new}->{kept}{new}", new


def _attention_equations(rank: int, axes: tuple[int, ...]) -> _Equations:
    """Products of (batch..., attended..., heads, features), and their combination with the values.

    The attention weights are (batch and what is not attended over, heads, attended of target, of source).
    """
    letters = string.ascii_lowercase
    target = letters[:rank]
    fresh = iter(letters[rank:])
    source = "".join(next(fresh) if i in axes else target[i] for i in range(rank))
    shared = "".join(target[i] for i in range(rank - 1) if i not in axes)
    weights = shared + "".join(target[a] for a in axes) + "".join(source[a] for a in axes)
    return _Equations(f"{source},{target}->{weights}", f"{weights},{source}->{target}", len(weights))
