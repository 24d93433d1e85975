"""Overlap losses for image segmentation: Dice and its generalisation Tversky."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.losses.loss import LossFunctionWrapper


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """`1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`.

    Args:
        y_true: target mask.
        y_pred: predicted mask, of the same shape.
        axis: axis or axes summed over; None: all, the batch included, so that the result is a scalar.

    Example:

    >>> float(dice([[1.0, 1.0]], [[1.0, 0.0]]))  # doctest: +ELLIPSIS
    0.333...
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (total + epsilon())


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """`1 - overlap / (overlap + alpha * missed + beta * wrong)`; Dice is `alpha = beta = 0.5`.

    Args:
        y_true: target mask.
        y_pred: predicted mask, of the same shape.
        alpha: weight of what is in `y_true` and not in `y_pred`.
        beta: weight of what is in `y_pred` and not in `y_true`.
        axis: axis or axes summed over; None: all.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum((1.0 - y_pred) * y_true, axis=axis)
    wrong = ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - overlap / (overlap + missed * alpha + wrong * beta + epsilon())


class Dice(LossFunctionWrapper):
    """Dice loss, see `dice`.

    Args:
        reduction, name, dtype: see `Loss`.
        axis: see `dice`.
    """

    _options = ("axis",)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction=reduction, name=name, dtype=dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """Tversky loss, see `tversky`.

    Args:
        alpha, beta, axis: see `tversky`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("alpha", "beta", "axis")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            tversky, reduction=reduction, name=name, dtype=dtype, alpha=alpha, beta=beta, axis=axis
        )
