"""Connectionist temporal classification: the loss of unaligned label sequences.

The sum over all alignments is the forward recurrence of Graves et al. (2006) in log space, step by step.
"""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.losses.loss import LossFunctionWrapper

# Logarithm of the probability of what cannot happen: finite, so that differences and gradients stay defined.
_IMPOSSIBLE = -1e5


def _log_add(a: Any, b: Any) -> Any:
    """`log(exp(a) + exp(b))`, whose gradient is defined everywhere."""
    return ops.maximum(a, b) + ops.log1p(ops.exp(-ops.abs(a - b)))


def _shifted(x: Any, by: int) -> Any:
    """`x` moved right along its last axis, impossible states coming in from the left."""
    return ops.pad(x[:, :-by], ((0, 0), (by, 0)), constant_values=_IMPOSSIBLE)


def _negative_log_likelihood(labels: Any, logits: Any, lengths: Any, blank: int) -> Any:
    batch, steps, _ = logits.shape
    # A path through the states blank, label 1, blank, label 2, ..., blank is an alignment.
    states = 2 * labels.shape[1] + 1
    blanks = ops.full((batch, labels.shape[1]), blank, dtype="int32")
    pairs = ops.reshape(ops.stack([blanks, labels], axis=-1), (batch, states - 1))
    symbols = ops.concatenate([pairs, ops.full((batch, 1), blank, dtype="int32")], axis=1)
    # Between two different labels the blank may be left out.
    differs = ops.not_equal(symbols[:, 2:], symbols[:, :-2]) & ops.not_equal(symbols[:, 2:], blank)
    may_skip = ops.pad(differs, ((0, 0), (2, 0)), constant_values=False)

    index = ops.broadcast_to(ops.expand_dims(symbols, 1), (batch, steps, states))
    emitted = ops.take_along_axis(ops.log_softmax(logits, axis=-1), index, axis=2)
    state = ops.expand_dims(ops.arange(states, dtype="int32"), 0)
    alpha = ops.where(state < 2, emitted[:, 0], _IMPOSSIBLE)
    for t in range(1, steps):
        skipped = ops.where(may_skip, _shifted(alpha, 2), _IMPOSSIBLE)
        alpha = _log_add(_log_add(alpha, _shifted(alpha, 1)), skipped) + emitted[:, t]
    # The path ends in the last label or in the blank after it.
    last = ops.expand_dims(2 * lengths, 1)
    ends = ops.logical_or(ops.equal(state, last), ops.equal(state, last - 1))
    return -ops.logsumexp(ops.where(ends, alpha, _IMPOSSIBLE), axis=1)


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
    lengths = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
    return _negative_log_likelihood(y_true, y_pred, lengths, blank=0)


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
