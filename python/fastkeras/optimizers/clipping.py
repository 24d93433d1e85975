"""Clipping of gradients by their norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras import ops


def clip_by_norm(gradient: Any, clipnorm: float) -> Any:
    """`gradient` scaled down to an L2 norm of at most `clipnorm`."""
    norm = ops.sqrt(ops.sum(ops.square(gradient)))
    return gradient * clipnorm / ops.maximum(norm, clipnorm)


def global_norm(gradients: Sequence[Any]) -> Any:
    """The L2 norm of all gradients together, as if they were one vector; None entries count nothing."""
    total = None
    for g in gradients:
        if g is not None:
            square = ops.sum(ops.square(g))
            total = square if total is None else total + square
    return ops.sqrt(total)


def clip_by_global_norm(gradients: Sequence[Any], clipnorm: float) -> list[Any]:
    """`gradients` scaled by one factor, so that their joint L2 norm is at most `clipnorm`.

    An infinite or undefined norm makes all of them NaN, so that a broken step is seen.
    """
    norm = global_norm(gradients)
    scale = clipnorm * ops.minimum(1.0 / norm, 1.0 / clipnorm) + (norm - norm)
    return [None if g is None else g * scale for g in gradients]
