"""Hinge losses for margin classifiers, with targets in {-1, 1} (or {0, 1}, which are converted)."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.losses.loss import LossFunctionWrapper


def _signed_labels(y_true: Any) -> Any:
    """Targets as -1 and 1: where all of them are 0 or 1, zeros become -1; otherwise they are left alone."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean(maximum(1 - y_true * y_pred, 0), axis=-1)`.

    Args:
        y_true: targets, -1 or 1; if all of them are 0 or 1, zeros count as -1.
        y_pred: predictions of the same shape.

    Example:

    >>> hinge([[-1.0, 1.0]], [[0.5, 2.0]]).numpy()
    array([0.75], dtype=float32)
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _signed_labels(ops.cast(y_true, y_pred.dtype))
    return ops.mean(ops.maximum(1.0 - y_true * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean(maximum(1 - y_true * y_pred, 0) ** 2, axis=-1)`; targets as in `hinge`."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _signed_labels(ops.cast(y_true, y_pred.dtype))
    return ops.mean(ops.square(ops.maximum(1.0 - y_true * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """`maximum(neg - pos + 1, 0)`: `pos` is the score of the true class, `neg` the best score of the others.

    Args:
        y_true: one-hot targets of shape `(batch, classes)`.
        y_pred: scores of the same shape.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    pos = ops.sum(y_true * y_pred, axis=-1)
    neg = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(neg - pos + 1.0, 0.0)


class Hinge(LossFunctionWrapper):
    """Hinge loss, see `hinge`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "hinge", dtype: Any = None
    ) -> None:
        super().__init__(hinge, reduction=reduction, name=name, dtype=dtype)


class SquaredHinge(LossFunctionWrapper):
    """Squared hinge loss, see `squared_hinge`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, reduction=reduction, name=name, dtype=dtype)


class CategoricalHinge(LossFunctionWrapper):
    """Categorical hinge loss, see `categorical_hinge`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, reduction=reduction, name=name, dtype=dtype)
