"""Losses of `tf.nn`: from labels and logits, one number for each example, not yet averaged."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor


def _same_shapes(labels: Any, logits: Any, what: str) -> None:
    a, b = tuple(ops.shape(labels)), tuple(ops.shape(logits))
    if len(a) != len(b) or any(x != y and None not in (x, y) for x, y in zip(a, b)):
        raise ValueError(
            f"tf.nn.{what} got labels of shape {a} and logits of shape {b}. Expected equal shapes. Reshape the labels, "
            "or use tf.one_hot on class indices."
        )


def softmax_cross_entropy_with_logits(
    labels: Any, logits: Any, axis: int = -1, name: str | None = None
) -> Tensor:
    """`-sum(labels * log_softmax(logits))` along the classes.

    Args:
        labels: the true probabilities, in the shape of `logits`.
        logits: the scores of the classes.
        axis: the dimension of the classes, which the result does not have.
        name: unused.
    """
    _same_shapes(labels, logits, "softmax_cross_entropy_with_logits")
    return ops.categorical_crossentropy(labels, logits, from_logits=True, axis=axis)


def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Tensor:
    """`-log_softmax(logits)` of the labelled class.

    Args:
        labels: class indices, in the shape of `logits` without its last dimension.
        logits: the scores of the classes.
        name: unused.
    """
    if len(ops.shape(labels)) != len(ops.shape(logits)) - 1:
        raise ValueError(
            "tf.nn.sparse_softmax_cross_entropy_with_logits got labels of shape "
            f"{tuple(ops.shape(labels))} and logits of shape {tuple(ops.shape(logits))}. Expected labels of one "
            "dimension less. Squeeze them, or use tf.nn.softmax_cross_entropy_with_logits for probabilities."
        )
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Tensor:
    """The binary cross-entropy of each element."""
    _same_shapes(labels, logits, "sigmoid_cross_entropy_with_logits")
    return ops.binary_crossentropy(labels, logits, from_logits=True)


def weighted_cross_entropy_with_logits(
    labels: Any, logits: Any, pos_weight: Any, name: str | None = None
) -> Tensor:
    """The binary cross-entropy of each element, where a positive label counts `pos_weight` times."""
    _same_shapes(labels, logits, "weighted_cross_entropy_with_logits")
    weight = 1 + (pos_weight - 1) * ops.convert_to_tensor(labels)
    return ops.subtract(logits, ops.multiply(labels, logits)) + weight * ops.softplus(ops.negative(logits))


def log_poisson_loss(
    targets: Any, log_input: Any, compute_full_loss: bool = False, name: str | None = None
) -> Tensor:
    """`exp(log_input) - log_input * targets`, with Stirling's approximation of log(targets!) added if asked for."""
    loss = ops.subtract(ops.exp(log_input), ops.multiply(log_input, targets))
    if not compute_full_loss:
        return loss
    positive = ops.maximum(targets, 1.0)
    stirling = positive * ops.log(positive) - positive + 0.5 * ops.log(2.0 * np.pi * positive)
    return loss + ops.where(ops.less_equal(targets, 1.0), 0.0, stirling)


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    return ops.multiply(ops.sum(ops.square(t)), 0.5)


def ctc_loss(
    labels: Any,
    logits: Any,
    label_length: Any,
    logit_length: Any,
    logits_time_major: bool = True,
    unique: Any = None,
    blank_index: int | None = None,
    name: str | None = None,
) -> Tensor:
    """The connectionist temporal classification loss of each example.

    Args:
        labels: (batch, longest label), class indices.
        logits: (time, batch, classes), or (batch, time, classes) if not `logits_time_major`.
        label_length, logit_length: (batch,), how much of each is in use.
        logits_time_major: whether time is the first dimension of the logits.
        unique: unused.
        blank_index: the class that stands for no label, 0 if None; negative ones count from the end.
        name: unused.
    """
    logits = ops.transpose(logits, [1, 0, 2]) if logits_time_major else logits
    blank = int(blank_index or 0)
    blank = blank + ops.shape(logits)[-1] if blank < 0 else blank
    return ops.ctc_loss(labels, logits, label_length, logit_length, blank)


def compute_average_loss(
    per_example_loss: Any,
    sample_weight: Any = None,
    global_batch_size: Any = None,
    max_per_example_loss: Any = None,
) -> Tensor:
    """The sum of the losses (times their weights) divided by the size of the whole batch."""
    loss = ops.convert_to_tensor(per_example_loss)
    if sample_weight is not None:
        loss = loss * sample_weight
    n = ops.shape(per_example_loss)[0] if global_batch_size is None else global_batch_size
    return ops.sum(loss) / n


def scale_regularization_loss(regularization_loss: Any) -> Tensor:
    """The sum of the losses; there is one replica to divide by."""
    return ops.sum(regularization_loss)
