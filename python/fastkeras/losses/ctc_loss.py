"""Connectionist temporal classification: the loss of unaligned label sequences."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.losses.loss import LossFunctionWrapper


def ctc(y_true: Any, y_pred: Any) -> Any:
    """CTC loss of label sequences and the logits of every time step.

    Args:
        y_true: integer labels of shape `(batch, max_length)`, padded with 0, which is also the blank.
        y_pred: logits of shape `(batch, steps, classes)`.

    Returns:
        Values of shape `(batch,)`.

    Raises:
        ValueError: if a rank is wrong.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) != 2:
        raise ValueError(f"ctc: y_true must have shape (batch, max_length), received {tuple(y_true.shape)}.")
    if len(y_pred.shape) != 3:
        raise ValueError(
            f"ctc: y_pred must have shape (batch, steps, classes), received {tuple(y_pred.shape)}."
        )
    y_true = ops.cast(y_true, "int32")
    steps = ops.full((y_pred.shape[0],), y_pred.shape[1], dtype="int32")
    lengths = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
    return ops.ctc_loss(y_true, y_pred, lengths, steps, mask_index=0)


ctc._integer_targets = True  # type: ignore[attr-defined]


class CTC(LossFunctionWrapper):
    """CTC loss, see `ctc`.

    Args:
        reduction, name, dtype: see `Loss`.
    """

    _options = ()

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(ctc, reduction=reduction, name=name, dtype=dtype)
