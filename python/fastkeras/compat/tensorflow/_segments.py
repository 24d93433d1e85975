"""Reductions of rows that have the same number: `tf.math.segment_sum` and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._indexing import known
from fastkeras.core.dtypes import is_float_dtype


def _counts(data: Any, segment_ids: Any, n: int) -> Tensor:
    """How many rows each segment has, in the shape and type of its result."""
    lead = len(ops.shape(segment_ids))
    rows = ops.sum(ops.one_hot(segment_ids, n, dtype=ops.dtype(data)), list(range(lead)))
    return ops.reshape(rows, [n] + [1] * (len(ops.shape(data)) - lead))


def _flat(data: Any, segment_ids: Any) -> tuple[Any, Any]:
    """Ids of several dimensions number the slices of as many leading dimensions."""
    ids, shape = ops.shape(segment_ids), ops.shape(data)
    if len(ids) == 1:
        return data, segment_ids
    return ops.reshape(data, [-1, *shape[len(ids) :]]), ops.reshape(segment_ids, [-1])


def _lowest(dtype: str, sign: int) -> float | int:
    if not is_float_dtype(dtype):
        limits = np.iinfo(dtype)
        return limits.min if sign < 0 else limits.max
    from fastkeras.ops._common import FLOAT_MAX

    return sign * FLOAT_MAX[dtype]


def _sum(data: Any, ids: Any, n: int) -> Tensor:
    return ops.segment_sum(data, ids, n)


def _prod(data: Any, ids: Any, n: int) -> Tensor:
    return ops.segment_prod(data, ids, n)


def _mean(data: Any, ids: Any, n: int) -> Tensor:
    return ops.divide(ops.segment_sum(data, ids, n), ops.maximum(_counts(data, ids, n), 1))


def _sqrt_n(data: Any, ids: Any, n: int) -> Tensor:
    return ops.divide(ops.segment_sum(data, ids, n), ops.sqrt(ops.maximum(_counts(data, ids, n), 1)))


def _max(data: Any, ids: Any, n: int) -> Tensor:
    empty = ops.equal(_counts(data, ids, n), 0)
    return ops.where(empty, _lowest(ops.dtype(data), -1), ops.segment_max(data, ids, n))


def _min(data: Any, ids: Any, n: int) -> Tensor:
    empty = ops.equal(_counts(data, ids, n), 0)
    return ops.where(empty, _lowest(ops.dtype(data), 1), ops.segment_min(data, ids, n))


_DOC = {
    "sum": "The sums of the rows with the same id",
    "prod": "The products of the rows with the same id",
    "mean": "The means of the rows with the same id",
    "sqrt_n": "The sums of the rows with the same id, divided by the root of their number",
    "max": "The maxima of the rows with the same id",
    "min": "The minima of the rows with the same id",
}


def _unsorted(kind: str, reduce: Callable[[Any, Any, int], Tensor], empty: str) -> Callable[..., Tensor]:
    def adapter(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Tensor:
        return reduce(*_flat(data, segment_ids), int(num_segments))

    adapter.__name__ = adapter.__qualname__ = f"unsorted_segment_{kind}"
    adapter.__doc__ = (
        f"{_DOC[kind]}; {empty} for an id that no row has. Rows with a negative id count nowhere."
    )
    return adapter


def _sorted(kind: str, reduce: Callable[[Any, Any, int], Tensor], fill: int) -> Callable[..., Tensor]:
    def adapter(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
        ids = known(segment_ids, f"tf.math.segment_{kind}", "the largest id says how many results there are")
        n = int(ids.max()) + 1 if ids.size else 0
        out = reduce(data, segment_ids, n)
        return (
            out
            if kind in ("sum", "mean", "prod")
            else ops.where(ops.equal(_counts(data, ids, n), 0), fill, out)
        )

    adapter.__name__ = adapter.__qualname__ = f"segment_{kind}"
    adapter.__doc__ = (
        f"{_DOC[kind]}; {fill} for an id that no row has. The value of the ids must be known: inside tf.function use "
        f"tf.math.unsorted_segment_{kind}."
    )
    return adapter


segment_sum = _sorted("sum", _sum, 0)
segment_prod = _sorted("prod", _prod, 1)
segment_mean = _sorted("mean", _mean, 0)
segment_max = _sorted("max", _max, 0)
segment_min = _sorted("min", _min, 0)
unsorted_segment_sum = _unsorted("sum", _sum, "0")
unsorted_segment_prod = _unsorted("prod", _prod, "1")
unsorted_segment_mean = _unsorted("mean", _mean, "0")
unsorted_segment_sqrt_n = _unsorted("sqrt_n", _sqrt_n, "0")
unsorted_segment_max = _unsorted("max", _max, "the lowest number")
unsorted_segment_min = _unsorted("min", _min, "the highest number")
