"""`tf.clip_by_value`, `tf.clip_by_norm` and `tf.clip_by_global_norm`."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._shape import axes_arg
from fastkeras.optimizers import clipping


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Tensor:
    """`t` with what is below the one bound or above the other moved to it."""
    return ops.clip(t, clip_value_min, clip_value_max)


def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Tensor:
    """`t` scaled down to a Euclidean norm (along `axes`) of at most `clip_norm`."""
    squares = ops.sum(ops.square(t), axes_arg(axes), keepdims=True)
    # The root has no slope at 0.
    some = ops.greater(squares, 0)
    length = ops.where(some, ops.sqrt(ops.where(some, squares, 1.0)), squares)
    out = ops.multiply(t, clip_norm) / ops.maximum(length, clip_norm)
    return ops.reshape(out, ops.shape(t))


def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Tensor]:
    """Tensors scaled by one factor, so that their joint Euclidean norm is at most `clip_norm`.

    Args:
        t_list: tensors; None among them stays.
        clip_norm: the largest norm.
        use_norm: their norm if it is known already.
        name: unused.

    Returns:
        The tensors, and the norm they had. An infinite norm makes all of them NaN.
    """
    tensors = list(t_list)
    length = clipping.global_norm(tensors) if use_norm is None else ops.convert_to_tensor(use_norm)
    scale = ops.multiply(ops.minimum(1.0 / length, 1.0 / clip_norm), clip_norm) + (length - length)
    return [None if t is None else ops.multiply(t, scale) for t in tensors], length
