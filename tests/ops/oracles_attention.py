"""Attention head by head, its weights written out, and the gradients by the Jacobian of softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles_random import unit

_HIDDEN = -0.7 * np.finfo(np.float32).max


def _attention_parts(q: Any, k: Any, v: Any, mask: Any, seed: Any, attrs: dict[str, Any]) -> dict[str, Any]:
    """The weights of each head, (batch, heads, targets, sources), and what made them."""
    share = q.shape[2] // k.shape[2]
    q, k, v = (np.moveaxis(a, 2, 1) for a in (q, np.repeat(k, share, 2), np.repeat(v, share, 2)))
    scores = q @ np.swapaxes(k, 2, 3) * attrs["scale"]
    visible = np.broadcast_to(mask, scores.shape)
    if attrs.get("causal"):
        visible = visible & np.tril(np.ones(scores.shape[2:], bool))
    logits = np.where(visible, scores, _HIDDEN)
    top = logits.max(-1, keepdims=True)
    e = np.exp(logits - top)
    inverse = 1 / e.sum(-1, keepdims=True)
    if attrs.get("blank_zero"):
        inverse = np.where(visible.any(-1, keepdims=True), inverse, 0.0)
    keep = np.ones(scores.shape)
    if rate := attrs.get("rate", 0.0):
        keep = (unit(seed, list(scores.shape)) >= np.float32(rate)) / (1 - rate)
    return {
        "q": q, "k": k, "v": v, "visible": visible, "p": e * inverse, "keep": keep,
        "statistics": np.concatenate([top, inverse], -1), "share": share,
    }  # fmt: skip


def _attention(q: Any, k: Any, v: Any, mask: Any, seed: Any, **attrs: Any):
    a = _attention_parts(q, k, v, mask, seed, attrs)
    return np.moveaxis((a["p"] * a["keep"]) @ a["v"], 1, 2), a["statistics"]


def _attention_grad(q: Any, k: Any, v: Any, mask: Any, seed: Any, statistics: Any, dy: Any, **attrs: Any):
    a = _attention_parts(q, k, v, mask, seed, attrs)
    p, share, dy = a["p"], a["share"], np.moveaxis(dy, 2, 1)
    dp = dy @ np.swapaxes(a["v"], 2, 3) * a["keep"]
    # The Jacobian of softmax row by row: diag(p) - p p^T.
    jacobian = np.eye(p.shape[-1]) * p[..., None] - p[..., :, None] * p[..., None, :]
    ds = (jacobian @ dp[..., None])[..., 0] * a["visible"] * attrs["scale"]

    def shared(g: Any) -> Any:  # heads that share a key add up
        b, h, s, n = g.shape
        return np.moveaxis(g.reshape(b, h // share, share, s, n).sum(2), 1, 2)

    return (
        np.moveaxis(ds @ a["k"], 1, 2),
        shared(np.swapaxes(ds, 2, 3) @ a["q"]),
        shared(np.swapaxes(p * a["keep"], 2, 3) @ dy),
    )


ATTENTION_ORACLES = {"attention": _attention, "attention_grad": _attention_grad}
