"""From per-sample loss values to what a loss returns: rank matching, masks, sample weights and the
reductions.

Metrics use the same rank and mask rules, so they live here rather than in the `Loss` class.
"""

from __future__ import annotations

import math
from typing import Any

from fastkeras import ops

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def standardize_reduction(reduction: str | None) -> str | None:
    """Return `reduction` if it names a known reduction, raise `ValueError` otherwise."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"Unknown loss reduction: reduction={reduction!r}. Expected one of "
            f"{', '.join(map(repr, REDUCTIONS))}."
        )
    return reduction


def squeeze_or_expand_to_same_rank(x1: Any, x2: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """Make `(batch, ..., 1)` and `(batch, ...)` agree in rank.

    Where exactly one rank separates the two and the longer one ends in a dimension of 1, the longer one loses
    it; against a rank-1 tensor the shorter one gains it instead (unless `expand_rank_1` is False). Other
    pairs are returned unchanged and left to broadcasting.
    """
    gap = len(x1.shape) - len(x2.shape)
    if gap == 1 and x1.shape[-1] == 1:
        if len(x2.shape) == 1 and expand_rank_1:
            return x1, ops.expand_dims(x2, axis=-1)
        return ops.squeeze(x1, axis=-1), x2
    if gap == -1 and x2.shape[-1] == 1:
        x2, x1 = squeeze_or_expand_to_same_rank(x2, x1, expand_rank_1)
    return x1, x2


def apply_mask(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """Merge `mask` into `sample_weight` (None where there is neither).

    For the reductions that divide by the batch size, valid entries weigh `total / valid`, so that the
    division yields the mean over the valid entries only.
    """
    if mask is None:
        return sample_weight
    weight = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        # An all-masked batch has no valid entry: its weight is 0, not total / 0.
        share = ops.divide_no_nan(ops.cast(_size(mask, weight.dtype), weight.dtype), ops.sum(weight))
        weight = ops.where(ops.cast(mask, "bool"), share, 0.0)
    if sample_weight is None:
        return weight
    weight, sample_weight = squeeze_or_expand_to_same_rank(weight, ops.cast(sample_weight, dtype))
    return sample_weight * weight


def _size(x: Any, dtype: str) -> Any:
    """Number of elements: a Python float where the shape is static, a tensor where it is symbolic."""
    if None in x.shape:
        return ops.sum(ops.ones_like(x, dtype=dtype))
    return float(math.prod(x.shape))


def reduce_values(
    values: Any, sample_weight: Any = None, reduction: str | None = "sum_over_batch_size"
) -> Any:
    """Reduce already weighted `values` to a scalar (or leave them, for `reduction` None or "none")."""
    if reduction is None or reduction == "none" or tuple(values.shape) in ((), (0,)):
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return ops.divide_no_nan(total, ops.cast(ops.sum(sample_weight), total.dtype))
    size = _size(values, total.dtype)
    return total if size == 0.0 else total / size


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: str | None = None,
) -> Any:
    """Apply `mask` and `sample_weight` to per-sample `values`, then reduce.

    Args:
        values: per-sample (or per-timestep) loss values.
        sample_weight: None, or a tensor that broadcasts to `values`, after one trailing dimension of 1 is
            dropped or added to make the ranks agree.
        mask: None or a boolean tensor; False entries do not count.
        reduction: one of `"sum_over_batch_size"`, `"mean"`, `"mean_with_sample_weight"`, `"sum"`, `"none"`,
            None.
        dtype: dtype of the computation; the dtype of `values` if None.

    Raises:
        ValueError: if `sample_weight` does not broadcast to `values`.
    """
    standardize_reduction(reduction)
    values = ops.convert_to_tensor(values, dtype=dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=values.dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        _check_broadcast(values.shape, sample_weight.shape)
        values = values * sample_weight
    return reduce_values(values, sample_weight, reduction)


def _check_broadcast(values: tuple, weights: tuple) -> None:
    for v, w in zip(reversed(values), reversed(weights)):
        if v != w and 1 not in (v, w) and None not in (v, w):
            hint = ""
            if len(values) > 1:
                rows = (values[0],) + (1,) * (len(values) - 1)
                hint = f" To weigh whole samples of sequences, pass weights of shape {rows}."
            raise ValueError(
                f"sample_weight of shape {tuple(weights)} does not broadcast to loss values of shape "
                f"{tuple(values)}. Pass one weight per loss value.{hint}"
            )
