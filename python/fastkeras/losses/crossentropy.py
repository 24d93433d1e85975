"""Probabilistic losses: cross-entropies of binary, one-hot and integer targets, KL divergence, Poisson.

With `from_logits=True` the cross-entropies are one fused op each. Probabilities are clipped to
`[epsilon(), 1 - epsilon()]` before their logarithm is taken.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import ops
from fastkeras.core.config import epsilon
from fastkeras.core.masking import set_keras_mask
from fastkeras.losses.loss import LossFunctionWrapper


def check_class_axis(name: str, y_pred: Any, axis: Any) -> None:
    """Refuse a boolean `axis` (a misplaced positional argument) and warn about a class dimension of 1."""
    if isinstance(axis, bool):
        raise ValueError(
            f"{name}: `axis` must be an int, received axis={axis}. Was `from_logits` or `label_smoothing` "
            "passed by "
            "position? Pass it by name."
        )
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"In loss {name}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. "
            "Received: "
            f"y_pred.shape={tuple(y_pred.shape)}. Consider using 'binary_crossentropy' if you only have 2 "
            "classes.",
            SyntaxWarning,
            stacklevel=3,
        )


def smooth_classes(y_true: Any, label_smoothing: float) -> Any:
    """Give every class the share `label_smoothing / classes` of the probability."""
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]


def smooth_binary(y_true: Any, label_smoothing: float) -> Any:
    """Pull binary targets towards 0.5."""
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Cross-entropy of binary targets and predictions, averaged along `axis`.

    Args:
        y_true: targets in [0, 1], of shape `(batch, d0, .. dN)`.
        y_pred: probabilities, or logits if `from_logits`, of the same shape.
        from_logits: whether `y_pred` are logits; better behaved than a sigmoid followed by this loss.
        label_smoothing: in [0, 1]; 0.2 turns targets 0 and 1 into 0.1 and 0.9.
        axis: the axis averaged over.

    Returns:
        Values of shape `(batch, d0, .. dN-1)`.

    Raises:
        ValueError: if the shapes differ.

    Example:

    >>> binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).numpy()
    array([0.6931472], dtype=float32)
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = smooth_binary(ops.cast(y_true, y_pred.dtype), label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Cross-entropy of one-hot (or soft) targets and class predictions.

    Args:
        y_true: class probabilities, of shape `(batch, ..., classes)`.
        y_pred: predicted probabilities, or logits if `from_logits`, of the same shape.
        from_logits: whether `y_pred` are logits.
        label_smoothing: in [0, 1]; the share of the probability spread evenly over all classes.
        axis: the class axis.

    Returns:
        Values of the shape of `y_pred` without `axis`.

    Raises:
        ValueError: if the shapes differ, or `axis` is a bool.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    check_class_axis("categorical_crossentropy", y_pred, axis)
    y_true = smooth_classes(ops.cast(y_true, y_pred.dtype), label_smoothing)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """Cross-entropy of integer class labels and class predictions.

    Args:
        y_true: labels in `0 .. classes - 1`, of the shape of `y_pred` without `axis` (or with a 1 there).
        y_pred: predicted probabilities, or logits if `from_logits`.
        from_logits: whether `y_pred` are logits.
        ignore_class: label whose samples have no loss and do not count in the mean, such as -1 or 255 for
            void pixels; None if every label counts.
        axis: the class axis.

    Returns:
        Values of the shape of `y_pred` without `axis`.

    Raises:
        ValueError: if the shapes do not fit; at run time, if a label is outside `0 .. classes - 1`.

    Example:

    >>> sparse_categorical_crossentropy([1], [[0.25, 0.75]]).numpy()
    array([0.2876821], dtype=float32)
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis=axis)
    valid = None
    if ignore_class is not None:
        valid = ops.not_equal(y_true, ignore_class)
        # Whatever stands at ignored positions (a label out of range, a NaN) must not reach the loss or its
        # gradient.
        y_true = ops.where(valid, y_true, 0)
        y_pred = ops.where(ops.expand_dims(valid, axis), y_pred, 0.0)
    if axis not in (-1, len(y_pred.shape) - 1):
        y_pred = ops.moveaxis(y_pred, axis, -1)
    values = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits)
    if valid is not None:
        values = ops.where(valid, values, 0.0)
        set_keras_mask(values, valid)
    return values


sparse_categorical_crossentropy._integer_targets = True  # type: ignore[attr-defined]


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """Kullback-Leibler divergence `sum(y_true * log(y_true / y_pred), axis=-1)` of two distributions.

    Both are clipped to `[epsilon(), 1]`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.clip(ops.convert_to_tensor(y_true, dtype=y_pred.dtype), epsilon(), 1.0)
    y_pred = ops.clip(y_pred, epsilon(), 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """`mean(y_pred - y_true * log(y_pred), axis=-1)`: the likelihood of counts, up to a constant."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    return ops.mean(y_pred - y_true * ops.log(y_pred + epsilon()), axis=-1)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """`(1 - p ** q) / q`, where `p` is the probability predicted for the true class.

    Between cross-entropy (`q` near 0) and mean absolute error (`q` near 1): robust against wrong labels.

    Args:
        y_true: integer class labels of shape `(batch,)`.
        y_pred: predicted probabilities of shape `(batch, classes)`.
        q: in (0, 1).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    selected = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    return (1.0 - ops.power(ops.sum(y_pred * selected, axis=-1), q)) / q


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of binary targets, see `binary_crossentropy`.

    Args:
        from_logits, label_smoothing, axis: see `binary_crossentropy`.
        reduction, name, dtype: see `Loss`.

    Example:

    ```python
    model.compile(loss=fastkeras.losses.BinaryCrossentropy(from_logits=True))
    ```
    """

    _options = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets, see `categorical_crossentropy`.

    Args:
        from_logits, label_smoothing, axis: see `categorical_crossentropy`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of integer class labels, see `sparse_categorical_crossentropy`.

    Args:
        from_logits, ignore_class, axis: see `sparse_categorical_crossentropy`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("from_logits", "ignore_class")
    _extra_options = {"axis": -1}

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )


class KLDivergence(LossFunctionWrapper):
    """Kullback-Leibler divergence, see `kl_divergence`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, reduction=reduction, name=name, dtype=dtype)


class Poisson(LossFunctionWrapper):
    """Poisson loss, see `poisson`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "poisson", dtype: Any = None
    ) -> None:
        super().__init__(poisson, reduction=reduction, name=name, dtype=dtype)


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Generalized cross-entropy, robust against wrong labels; see `categorical_generalized_cross_entropy`.

    Args:
        q: in (0, 1); nearer to 1 is more robust and slower to learn.
        reduction, name, dtype: see `Loss`.

    Raises:
        ValueError: if `q` is outside (0, 1).
    """

    _options = ("q",)

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(
                f"CategoricalGeneralizedCrossEntropy: q must be in the interval (0, 1), received q={q}."
            )
        super().__init__(
            categorical_generalized_cross_entropy, reduction=reduction, name=name, dtype=dtype, q=q
        )
