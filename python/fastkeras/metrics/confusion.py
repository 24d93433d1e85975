"""Counting true and false positives and negatives, at one threshold or at many.

With evenly spaced thresholds every prediction falls into one bucket, so that one scatter and one cumulative
sum count for all thresholds at once; otherwise predictions are compared with each threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.losses.reduction import squeeze_or_expand_to_same_rank

# Stands for "no threshold": every prediction that top-k keeps lies above it, every one it drops does not.
NEG_INF = -1e10


class ConfusionMatrix(Enum):
    """The four counts."""

    TRUE_POSITIVES = "tp"
    FALSE_POSITIVES = "fp"
    TRUE_NEGATIVES = "tn"
    FALSE_NEGATIVES = "fn"


def parse_init_thresholds(thresholds: Any, default_threshold: float = 0.5) -> list[float]:
    """The `thresholds` argument of a metric as a list.

    Raises:
        ValueError: if one is None or outside [0, 1].
    """
    if thresholds is None:
        return [default_threshold]
    values = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    wrong = [t for t in values if t is None or t < 0 or t > 1]
    if wrong:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
    return values


def is_evenly_distributed_thresholds(thresholds: Sequence[float]) -> bool:
    """Whether `thresholds` are 3 or more and divide [0, 1] evenly."""
    if len(thresholds) < 3:
        return False
    even = np.linspace(0.0, 1.0, len(thresholds), dtype="float32")
    return bool(np.allclose(thresholds, even, atol=epsilon()))


def update_confusion_matrix_variables(
    variables: Mapping[ConfusionMatrix, Any],
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    top_k: int | None = None,
    class_id: int | None = None,
    sample_weight: Any = None,
    multi_label: bool = False,
    label_weights: Any = None,
    thresholds_distributed_evenly: bool = False,
) -> None:
    """Add the counts of one batch to `variables`.

    Args:
        variables: variable of shape `(thresholds,)` (`(thresholds, labels)` if `multi_label`) for each count
            wanted.
        y_true: targets; other than 0 is true.
        y_pred: predictions in [0, 1], of the same shape.
        thresholds: predictions above a threshold are positive.
        top_k: count only the `top_k` largest predictions of each sample as possible positives.
        class_id: look at this class only.
        sample_weight: None or weights that broadcast to `y_pred`.
        multi_label: whether to count for each label (column of `y_pred`) apart.
        label_weights: None or a weight for each label.
        thresholds_distributed_evenly: whether `thresholds` divide [0, 1] evenly.

    Raises:
        ValueError: if `class_id` is given for predictions of rank 1, or `label_weights` with `multi_label`.
    """
    if multi_label and label_weights is not None:
        raise ValueError("With multi_label, label weights apply to the result, not to the counts.")
    dtype = next(iter(variables.values())).dtype
    y_true, y_pred = ops.cast(y_true, dtype), ops.cast(y_pred, dtype)
    y_pred, y_true = squeeze_or_expand_to_same_rank(y_pred, y_true)
    if sample_weight is not None:
        sample_weight = ops.expand_dims(ops.cast(sample_weight, dtype), axis=-1)
        _, sample_weight = squeeze_or_expand_to_same_rank(y_true, sample_weight, expand_rank_1=False)
    if top_k is not None:
        y_pred = _keep_top_k(y_pred, top_k)
    if class_id is not None:
        if len(y_pred.shape) == 1:
            raise ValueError(
                "When class_id is provided, y_pred must have shape (num_samples, num_classes). Received: "
                f"y_pred.shape={tuple(y_pred.shape)}."
            )
        y_true, y_pred = y_true[..., class_id : class_id + 1], y_pred[..., class_id : class_id + 1]

    shape = y_pred.shape
    weights = None if sample_weight is None else ops.broadcast_to(sample_weight, shape)
    if label_weights is not None:
        label_weights = ops.broadcast_to(ops.expand_dims(ops.cast(label_weights, dtype), 0), shape)
        weights = label_weights if weights is None else weights * label_weights

    # One row per sample (and per label, unless labels are counted apart), one column per label counted apart.
    columns = math.prod(shape[1:]) if multi_label else 1
    y_true = ops.reshape(ops.cast(y_true, "bool"), (-1, columns))
    y_pred = ops.reshape(y_pred, (-1, columns))
    true_weight = ops.cast(y_true, dtype)
    false_weight = 1.0 - true_weight
    if weights is not None:
        weights = ops.reshape(weights, (-1, columns))
        true_weight, false_weight = true_weight * weights, false_weight * weights

    count = _count_in_buckets if thresholds_distributed_evenly else _count_by_comparison
    tp, fp = count(y_pred, true_weight, false_weight, thresholds)

    def add(what: ConfusionMatrix, counts: Any) -> None:
        variables[what].assign_add(counts if multi_label else ops.reshape(counts, (-1,)))

    if ConfusionMatrix.TRUE_POSITIVES in variables:
        add(ConfusionMatrix.TRUE_POSITIVES, tp)
    if ConfusionMatrix.FALSE_POSITIVES in variables:
        add(ConfusionMatrix.FALSE_POSITIVES, fp)
    if ConfusionMatrix.TRUE_NEGATIVES in variables:
        add(ConfusionMatrix.TRUE_NEGATIVES, ops.sum(false_weight, axis=0, keepdims=True) - fp)
    if ConfusionMatrix.FALSE_NEGATIVES in variables:
        add(ConfusionMatrix.FALSE_NEGATIVES, ops.sum(true_weight, axis=0, keepdims=True) - tp)


def _count_by_comparison(
    y_pred: Any, true_weight: Any, false_weight: Any, thresholds: Any
) -> tuple[Any, Any]:
    """Weights of the positives above each threshold: two tensors of shape `(thresholds, columns)`."""
    limits = ops.reshape(
        ops.convert_to_tensor(np.asarray(thresholds, "float64"), dtype=y_pred.dtype), (-1, 1, 1)
    )
    positive = ops.greater(ops.expand_dims(y_pred, 0), limits)
    tp = ops.sum(ops.where(positive, ops.expand_dims(true_weight, 0), 0.0), axis=1)
    fp = ops.sum(ops.where(positive, ops.expand_dims(false_weight, 0), 0.0), axis=1)
    return tp, fp


def _count_in_buckets(y_pred: Any, true_weight: Any, false_weight: Any, thresholds: Any) -> tuple[Any, Any]:
    """The same for evenly spaced thresholds, without comparing every prediction with every threshold."""
    n, columns = len(thresholds), y_pred.shape[1]
    # Bucket b holds the predictions above b thresholds; bucket 0 those above none.
    buckets = ops.ceil(ops.clip(y_pred, 0.0, 1.0) * (n - 1.0))
    if thresholds[0] < 0.0 or thresholds[-1] > 1.0:
        # The first threshold lies below 0 here, so that a prediction of 0 is above it.
        buckets = ops.maximum(buckets, 1.0)
    # The clip keeps a NaN, whose integer value is arbitrary, inside the table.
    buckets = ops.clip(ops.cast(buckets, "int32"), 0, n)
    if columns > 1:
        buckets = buckets * columns + ops.expand_dims(ops.arange(columns, dtype="int32"), 0)
    buckets = ops.reshape(buckets, (-1,))

    def count(weight: Any) -> Any:
        table = ops.segment_sum(ops.reshape(weight, (-1,)), buckets, num_segments=(n + 1) * columns)
        # Above threshold t are the predictions of bucket t + 1 and of all later ones.
        above = ops.flip(ops.cumsum(ops.flip(ops.reshape(table, (n + 1, columns)), axis=0), axis=0), axis=0)
        return above[1:]

    return count(true_weight), count(false_weight)


def _keep_top_k(x: Any, k: int) -> Any:
    """`x` with all but the `k` largest entries of each row moved below every threshold."""
    _, best = ops.top_k(x, k)
    kept = ops.sum(ops.one_hot(best, x.shape[-1], dtype=x.dtype), axis=-2)
    return x * kept + NEG_INF * (1.0 - kept)


def confusion_matrix(
    labels: Any, predictions: Any, num_classes: int, weights: Any = None, dtype: str = "int32"
) -> Any:
    """Count of each pair of label and prediction.

    Args:
        labels: integer labels of shape `(n,)`.
        predictions: integer predictions of shape `(n,)`.
        num_classes: labels and predictions are in `0 .. num_classes - 1`.
        weights: None or what each pair counts.
        dtype: dtype of the counts.

    Returns:
        A tensor of shape `(num_classes, num_classes)`; rows are labels, columns are predictions.
    """
    labels, predictions = squeeze_or_expand_to_same_rank(
        ops.convert_to_tensor(labels), ops.convert_to_tensor(predictions)
    )
    cells = ops.cast(labels, "int32") * num_classes + ops.cast(predictions, "int32")
    weights = ops.ones(cells.shape, dtype=dtype) if weights is None else ops.cast(weights, dtype)
    counts = ops.segment_sum(weights, cells, num_segments=num_classes * num_classes)
    return ops.reshape(counts, (num_classes, num_classes))
