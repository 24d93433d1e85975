"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

from fastkeras.ops._common import (
    FLOAT_MAX,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    call,
    cast_to,
    same_dtype,
    symbolic_op,
)


@symbolic_op
def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike = None,
    mask: TensorLike = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """softmax(query key^T * scale + bias) value, the softmax computed in float32.

    Args:
        query: (batch, target length, heads, depth).
        key: (batch, source length, key heads, depth); key heads divides heads, and each serves that many.
        value: (batch, source length, key heads, value depth).
        bias: added to the logits; broadcast to (batch, heads, target length, source length).
        mask: booleans in that shape; False hides a source position.
        scale: factor of the logits; 1 / sqrt(depth) if None.
        is_causal: whether to hide, from each target position, the source positions after it.
        flash_attention: whether to insist on a fused implementation; the engine chooses by itself, so None
            and False are accepted.
        attn_logits_soft_cap: logits are divided by 1 + |logits| / this.

    Returns:
        (batch, target length, heads, value depth).
    """
    if flash_attention:
        raise NotImplementedError(
            "flash_attention=True is not supported: the engine decides how attention runs. Leave it None."
        )
    query, key, value = same_dtype((as_float(query), as_float(key), as_float(value)))
    if query.ndim != 4 or key.ndim != 4 or value.ndim != 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: "
            f"query.shape={query.shape}, key.shape={key.shape}, value.shape={value.shape}."
        )
    batch, length, heads, depth = query.shape
    sources, groups = key.shape[1], key.shape[2]
    if key.shape[3] != depth or value.shape[:3] != key.shape[:3] or key.shape[0] != batch or heads % groups:
        raise ValueError(
            "The shapes of query, key and value do not fit together: expected (batch, T, heads, depth), "
            "(batch, S, key heads, depth) and (batch, S, key heads, value depth), with heads a multiple of "
            "key heads. "
            f"Received: {query.shape}, {key.shape}, {value.shape}."
        )
    scale = 1.0 / math.sqrt(depth) if scale is None else scale
    if bias is None and attn_logits_soft_cap is None:
        return fused_attention(query, key, value, mask, scale, is_causal)
    # (batch, heads, length, depth): a batch of matrices per head.
    q, k, v = (call("transpose", t, perm=[0, 2, 1, 3]) for t in (query, key, value))
    if groups != heads:
        # The heads that share a key become further rows of its matrix product.
        q = call("reshape", q, shape=[batch, groups, heads // groups * length, depth])
    logits = call("matmul", q, k, transpose_b=True)
    if groups != heads:
        logits = call("reshape", logits, shape=[batch, heads, length, sources])
    work = "float64" if logits.dtype == "float64" else "float32"
    logits = cast_to(logits, work) * scale
    if attn_logits_soft_cap is not None:
        logits = logits / (1.0 + call("abs", logits) * (1.0 / attn_logits_soft_cap))
    if bias is not None:
        logits = logits + as_tensor_of(bias, work)
    visible = _visible(mask, is_causal, length, sources)
    if visible is not None:
        logits = call("where", visible, logits, -0.7 * FLOAT_MAX[work])
    weights = cast_to(call("softmax", logits, axis=3), v.dtype)
    if groups != heads:
        weights = call("reshape", weights, shape=[batch, groups, heads // groups * length, sources])
    out = call("matmul", weights, v)
    if groups != heads:
        out = call("reshape", out, shape=[batch, heads, length, value.shape[3]])
    return call("transpose", out, perm=[0, 2, 1, 3])


def _visible(mask: TensorLike, is_causal: bool, length: int, sources: int) -> Tensor | None:
    visible = None
    if mask is not None:
        visible = as_tensor(mask)
        if visible.dtype != "bool":
            visible = call("not_equal", visible, 0)
    if is_causal:
        row = call("iota", shape=[1, 1, length, 1], axis=2, dtype="int32")
        column = call("iota", shape=[1, 1, 1, sources], axis=3, dtype="int32")
        past = call("less_equal", column, row)
        visible = past if visible is None else call("logical_and", visible, past)
    return visible


@symbolic_op
def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: TensorLike,
    scale: float,
    is_causal: bool,
    rate: float = 0.0,
    seed: Any = None,
    blank_zero: bool = False,
) -> Tensor:
    """Attention as one operation, its weights with dropout.

    Args:
        query, key, value, mask, scale, is_causal: see `dot_product_attention`.
        rate, seed: of the dropout of the weights, see `random.dropout`.
        blank_zero: whether a position that sees nothing gets zeros; otherwise the mean of all values.
    """
    visible = call("full", value=True, shape=[1, 1, 1, 1], dtype="bool")
    if mask is not None:
        visible = as_tensor(mask)
        if visible.dtype != "bool":
            visible = call("not_equal", visible, 0)
        visible = call("reshape", visible, shape=[1] * (4 - visible.ndim) + list(visible.shape))
    if rate > 0.0:
        from fastkeras.random.seed_generator import draw_seed

        words = draw_seed(seed)
    else:
        words = call("full", value=0, shape=[2], dtype="uint32")
    out, _ = call(
        "attention",
        query,
        key,
        value,
        visible,
        words,
        scale=float(scale),
        causal=bool(is_causal),
        rate=float(rate),
        blank_zero=blank_zero,
    )
    return out
