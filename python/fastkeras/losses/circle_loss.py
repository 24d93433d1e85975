"""Circle loss: pulls embeddings of one class together and pushes the others away, pair by pair."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.masking import set_keras_mask
from fastkeras.losses.loss import LossFunctionWrapper


def _pair_masks(labels: Any, reference_labels: Any, remove_diagonal: bool) -> tuple[Any, Any]:
    """Boolean (batch, references) masks of the pairs of one class and of the pairs of two classes."""
    labels = ops.reshape(labels, (-1, 1))
    reference_labels = ops.reshape(reference_labels, (1, -1))
    same = ops.equal(labels, reference_labels)
    different = ops.logical_not(same)
    if remove_diagonal:
        itself = ops.eye(labels.shape[0], reference_labels.shape[1], dtype="bool")
        same = ops.logical_and(same, ops.logical_not(itself))
    return same, different


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Circle loss of normalised embeddings and their class labels.

    Args:
        y_true: integer labels of shape `(batch,)`.
        y_pred: embeddings of length 1, of shape `(batch, features)`.
        ref_labels: labels compared with; `y_true` if None.
        ref_embeddings: embeddings compared with, of shape `(references, features)`; `y_pred` if None.
        remove_diagonal: whether a sample is not compared with itself.
        gamma: scale of the similarities.
        margin: relaxation, in [0, 1].

    Returns:
        Values of shape `(batch,)`. Samples without any loss do not count in the mean over the batch.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, "int32")
    references = (
        y_pred if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings, dtype=y_pred.dtype)
    )
    ref_labels = y_true if ref_labels is None else ops.cast(ref_labels, "int32")

    distance = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(references)), 0.0)
    same, different = _pair_masks(y_true, ref_labels, remove_diagonal)
    pull = -gamma * ops.maximum(margin + distance, 0.0) * (margin - distance)
    push = gamma * ops.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance)
    none = float("-inf")
    pull = ops.logsumexp(ops.where(same, pull, none), axis=1)
    push = ops.logsumexp(ops.where(different, push, none), axis=1)
    values = ops.softplus(pull + push)
    set_keras_mask(values, values > 0)
    return values


class Circle(LossFunctionWrapper):
    """Circle loss, see `circle`.

    Args:
        gamma, margin, remove_diagonal: see `circle`.
        reduction, name, dtype: see `Loss`.
    """

    _options = ("gamma", "margin", "remove_diagonal")

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction=reduction,
            name=name,
            dtype=dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )
