"""Regression losses: squared, absolute, percentage and logarithmic errors, Huber, log-cosh, cosine
similarity.
"""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.losses.loss import LossFunctionWrapper
from fastkeras.losses.reduction import squeeze_or_expand_to_same_rank


def as_pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """`y_true` and `y_pred` as tensors of the dtype of `y_pred` and of one rank."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    return squeeze_or_expand_to_same_rank(y_true, y_pred)


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """`mean((y_true - y_pred) ** 2, axis=-1)`.

    Args:
        y_true: targets of shape `(batch, d0, .. dN)`.
        y_pred: predictions of the same shape.

    Returns:
        Values of shape `(batch, d0, .. dN-1)`.

    Example:

    >>> mean_squared_error([[0.0, 1.0]], [[1.0, 1.0]]).numpy()
    array([0.5], dtype=float32)
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """`mean(abs(y_true - y_pred), axis=-1)`; shapes as in `mean_squared_error`."""
    y_true, y_pred = as_pair(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """`100 * mean(abs((y_true - y_pred) / y_true), axis=-1)`, with `abs(y_true)` kept above `epsilon()`."""
    y_true, y_pred = as_pair(y_true, y_pred)
    relative = ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), epsilon()))
    return 100.0 * ops.mean(relative, axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """`mean((log(y_true + 1) - log(y_pred + 1)) ** 2, axis=-1)`, with both kept above `epsilon()`."""
    y_true, y_pred = as_pair(y_true, y_pred)
    log_pred = ops.log(ops.maximum(y_pred, epsilon()) + 1.0)
    log_true = ops.log(ops.maximum(y_true, epsilon()) + 1.0)
    return ops.mean(ops.square(log_pred - log_true), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between `y_true` and `y_pred` along `axis`: -1 is the same direction.

    Example:

    >>> cosine_similarity([[0.0, 1.0]], [[0.0, 2.0]]).numpy()
    array([-1.], dtype=float32)
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Mean of `0.5 * e**2` where `abs(e) <= delta` and of `delta * abs(e) - 0.5 * delta**2` elsewhere.

    Args:
        y_true: targets of shape `(batch, d0, .. dN)`.
        y_pred: predictions of the same shape; `e` is `y_pred - y_true`.
        delta: error at which the quadratic part ends and the linear part begins.
    """
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    size = ops.abs(error)
    values = ops.where(size <= delta, 0.5 * ops.square(error), delta * size - 0.5 * delta * delta)
    return ops.mean(values, axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """`mean(log(cosh(y_pred - y_true)), axis=-1)`, computed without overflow."""
    y_true, y_pred = as_pair(y_true, y_pred)
    error = y_pred - y_true
    # log(cosh(x)) = x + softplus(-2x) - log 2, which never forms cosh.
    return ops.mean(error + ops.softplus(error * -2.0) - math.log(2.0), axis=-1)


class MeanSquaredError(LossFunctionWrapper):
    """Mean of the squared errors, see `mean_squared_error`.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of the absolute errors, see `mean_absolute_error`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of the absolute errors in percent of the targets, see `mean_absolute_percentage_error`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction=reduction, name=name, dtype=dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of the squared errors of the logarithms, see `mean_squared_logarithmic_error`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction=reduction, name=name, dtype=dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine similarity of targets and predictions, see `cosine_similarity`.

    Args:
        axis: axis along which vectors are compared.
        reduction, name, dtype: see `Loss`.
    """

    _options = ()
    _extra_options = {"axis": -1}

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction=reduction, name=name, dtype=dtype, axis=axis)


class Huber(LossFunctionWrapper):
    """Huber loss: quadratic for small errors, linear beyond `delta`; see `huber`.

    Args:
        delta: error at which the linear part begins.
        reduction, name, dtype: see `Loss`.
    """

    _options = ()
    _extra_options = {"delta": 1.0}

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction=reduction, name=name, dtype=dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """Mean of the logarithms of the hyperbolic cosines of the errors, see `log_cosh`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(log_cosh, reduction=reduction, name=name, dtype=dtype)
