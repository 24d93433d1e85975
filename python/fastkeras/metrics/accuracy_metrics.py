"""Accuracies: the share of predictions that equal, or have among their best k, the target."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core import config as _config
from fastkeras.losses.reduction import squeeze_or_expand_to_same_rank
from fastkeras.metrics.reduction_metrics import MeanMetricWrapper


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1.0 where `y_true` equals `y_pred`, else 0.0; of their shape."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    return ops.cast(ops.equal(y_true, y_pred), _config.floatx())


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1.0 where `y_pred > threshold` equals the binary target, else 0.0.

    Args:
        y_true: targets, 0 or 1.
        y_pred: predictions of the same shape.
        threshold: predictions above it count as 1.

    Example:

    >>> binary_accuracy([[1], [0]], [[0.7], [0.6]]).numpy()
    array([[1.],
           [0.]], dtype=float32)
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    y_pred = ops.cast(ops.greater(y_pred, threshold), y_true.dtype)
    return ops.cast(ops.equal(y_true, y_pred), _config.floatx())


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1.0 where the largest entries of one-hot target and prediction are at one place, else 0.0.

    Args:
        y_true: one-hot targets of shape `(batch, ..., classes)`.
        y_pred: predictions of the same shape.

    Returns:
        Values of shape `(batch, ...)`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.argmax(y_true, axis=-1)
    shape = y_true.shape
    if len(shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, -1)
    matches = ops.cast(ops.equal(y_true, ops.argmax(y_pred, axis=-1)), _config.floatx())
    return ops.reshape(matches, shape) if len(matches.shape) != len(shape) else matches


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1.0 where the largest prediction is at the place the integer target names, else 0.0.

    Args:
        y_true: class labels of shape `(batch, ...)` or `(batch, ..., 1)`.
        y_pred: predictions of shape `(batch, ..., classes)`.

    Returns:
        Values of the shape of `y_true`, without trailing 1.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    shape = None
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        shape = y_true.shape
        y_true = ops.squeeze(y_true, -1)
    matches = ops.cast(ops.equal(y_true, ops.argmax(y_pred, axis=-1)), _config.floatx())
    if shape is not None and len(shape) <= 1:
        matches = ops.reshape(matches, shape)
    if len(matches.shape) > 1 and matches.shape[-1] == 1:
        matches = ops.squeeze(matches, -1)
    return matches


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1.0 where the class of the one-hot target is among the `k` largest predictions, else 0.0.

    Args:
        y_true: one-hot targets of shape `(batch, ..., classes)`.
        y_pred: predictions of the same shape.
        k: how many predictions are looked at.
    """
    return _in_top_k(ops.argmax(y_true, axis=-1), ops.convert_to_tensor(y_pred), k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1.0 where the integer target is among the `k` largest predictions, else 0.0.

    Args:
        y_true: class labels of shape `(batch, ...)`.
        y_pred: predictions of shape `(batch, ..., classes)`, or class ids, best first, if `from_sorted_ids`.
        k: how many predictions are looked at.
        from_sorted_ids: whether `y_pred` are class ids rather than scores.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype if from_sorted_ids else "int32")
    if not from_sorted_ids:
        return _in_top_k(y_true, y_pred, k)
    shape = y_true.shape
    ids = ops.reshape(y_pred, (-1, y_pred.shape[-1]))[:, :k]
    found = ops.any(ops.equal(ops.reshape(y_true, (-1, 1)), ids), axis=1)
    return ops.reshape(ops.cast(found, _config.floatx()), shape)


def _in_top_k(labels: Any, predictions: Any, k: int) -> Any:
    shape = labels.shape
    predictions = ops.reshape(predictions, (-1, predictions.shape[-1]))
    found = ops.in_top_k(ops.reshape(ops.cast(labels, "int32"), (-1,)), predictions, k=k)
    return ops.reshape(ops.cast(found, _config.floatx()), shape)


class Accuracy(MeanMetricWrapper):
    """Share of predictions equal to the target, see `accuracy`.

    Args:
        name, dtype: see `Metric`.

    Example:

    >>> m = Accuracy()
    >>> m.update_state([1, 2, 3, 4], [0, 2, 3, 4])
    >>> float(m.result())
    0.75
    """

    _options = ()
    _direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name=name, dtype=dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """Share of binary predictions on the right side of the threshold, see `binary_accuracy`.

    Args:
        name, dtype: see `Metric`.
        threshold: predictions above it count as 1.
    """

    _options = ("threshold",)
    _direction = "up"

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name=name, dtype=dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """Share of right classes with one-hot targets, see `categorical_accuracy`.

    Args:
        name, dtype: see `Metric`.
    """

    _options = ()
    _direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name=name, dtype=dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Share of right classes with integer targets, see `sparse_categorical_accuracy`.

    Args:
        name, dtype: see `Metric`.
    """

    _options = ()
    _direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name=name, dtype=dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of one-hot targets among the `k` best predictions, see `top_k_categorical_accuracy`.

    Args:
        k: how many predictions are looked at.
        name, dtype: see `Metric`.
    """

    _options = ("k",)
    _direction = "up"

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name=name, dtype=dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of integer targets among the `k` best predictions, see `sparse_top_k_categorical_accuracy`.

    Args:
        k: how many predictions are looked at.
        name, dtype: see `Metric`.
        from_sorted_ids: whether predictions are class ids, best first, rather than scores.
    """

    _options = ("k",)
    _extra_options = {"from_sorted_ids": False}
    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy, name=name, dtype=dtype, k=k, from_sorted_ids=from_sorted_ids
        )
