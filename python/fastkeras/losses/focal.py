"""Focal cross-entropies: cross-entropies that weigh easy examples down by a power of their error."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.losses.crossentropy import check_class_axis, smooth_binary, smooth_classes
from fastkeras.losses.loss import LossFunctionWrapper


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy times `(1 - p) ** gamma`, where `p` is the probability given to the true class.

    Args:
        y_true: binary targets of shape `(batch, d0, .. dN)`.
        y_pred: probabilities, or logits if `from_logits`, of the same shape.
        apply_class_balancing: whether to weigh class 1 by `alpha` and class 0 by `1 - alpha`.
        alpha: weight of class 1.
        gamma: focusing parameter; 0 is plain cross-entropy.
        from_logits: whether `y_pred` are logits.
        label_smoothing: see `binary_crossentropy`.
        axis: the axis averaged over.

    Returns:
        Values of shape `(batch, d0, .. dN-1)`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = smooth_binary(ops.cast(y_true, y_pred.dtype), label_smoothing)
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    values = ops.binary_crossentropy(y_true, y_pred, from_logits=False)
    p = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    values = ops.power(1.0 - p, gamma) * values
    if apply_class_balancing:
        values = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * values
    return ops.mean(values, axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical cross-entropy in which each class counts `alpha * (1 - p) ** gamma` times.

    Args:
        y_true: one-hot targets of shape `(batch, ..., classes)`.
        y_pred: predicted probabilities, or logits if `from_logits`, of the same shape.
        alpha: weight of the classes: a float, or one per class.
        gamma: focusing parameter; 0 is plain cross-entropy.
        from_logits: whether `y_pred` are logits.
        label_smoothing: see `categorical_crossentropy`.
        axis: the class axis.

    Returns:
        Values of the shape of `y_pred` without `axis`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    check_class_axis("categorical_focal_crossentropy", y_pred, axis)
    y_true = smooth_classes(ops.cast(y_true, y_pred.dtype), label_smoothing)
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    p = ops.clip(y_pred / ops.sum(y_pred, axis=axis, keepdims=True), epsilon(), 1.0 - epsilon())
    if not isinstance(alpha, (int, float)):
        alpha = ops.convert_to_tensor(alpha, dtype=y_pred.dtype)
    return ops.sum(ops.power(1.0 - p, gamma) * alpha * (-y_true * ops.log(p)), axis=axis)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Focal cross-entropy of binary targets, see `binary_focal_crossentropy`.

    Args:
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis: see
            `binary_focal_crossentropy`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("from_logits", "label_smoothing", "axis", "apply_class_balancing", "alpha", "gamma")

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Focal cross-entropy of one-hot targets, see `categorical_focal_crossentropy`.

    Args:
        alpha, gamma, from_logits, label_smoothing, axis: see `categorical_focal_crossentropy`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("from_logits", "label_smoothing", "axis", "alpha", "gamma")

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
