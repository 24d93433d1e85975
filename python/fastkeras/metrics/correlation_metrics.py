"""Correlations of targets and predictions: Pearson's and Lin's concordance."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.losses.regression import as_pair
from fastkeras.metrics.reduction_metrics import MeanMetricWrapper


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Pearson correlation coefficient of `y_true` and `y_pred` along `axis`.

    Args:
        y_true: targets of shape `(batch, d0, .. dN)`.
        y_pred: predictions of the same shape.
        axis: axis along which they are correlated; its dimension must be larger than 1.
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    y_true = y_true - ops.mean(y_true, axis=axis, keepdims=True)
    y_pred = y_pred - ops.mean(y_pred, axis=axis, keepdims=True)
    y_true = y_true / ops.std(y_true, axis=axis, keepdims=True)
    y_pred = y_pred / ops.std(y_pred, axis=axis, keepdims=True)
    return ops.mean(y_true * y_pred, axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Lin's concordance correlation of `y_true` and `y_pred` along `axis`: agreement, not only linear
    relation.

    Args:
        y_true: targets of shape `(batch, d0, .. dN)`.
        y_pred: predictions of the same shape.
        axis: axis along which they are correlated; its dimension must be larger than 1.
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    true_mean = ops.mean(y_true, axis=axis, keepdims=True)
    pred_mean = ops.mean(y_pred, axis=axis, keepdims=True)
    variances = ops.var(y_true, axis=axis, keepdims=True) + ops.var(y_pred, axis=axis, keepdims=True)
    covariance = (y_true - pred_mean) * (y_pred - pred_mean)
    norm = variances + ops.square(true_mean - pred_mean)
    return ops.mean(2.0 * covariance / (norm + epsilon()), axis=axis)


class PearsonCorrelation(MeanMetricWrapper):
    """Mean of `pearson_correlation` over the samples.

    Args:
        name, dtype: see `Metric`.
        axis: see `pearson_correlation`.
    """

    _options = ("axis",)
    _direction = "up"

    def __init__(self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(pearson_correlation, name=name, dtype=dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """Mean of `concordance_correlation` over the samples.

    Args:
        name, dtype: see `Metric`.
        axis: see `concordance_correlation`.
    """

    _options = ("axis",)
    _direction = "up"

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name=name, dtype=dtype, axis=axis)
