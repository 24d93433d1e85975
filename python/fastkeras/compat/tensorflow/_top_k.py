"""The largest elements: `tf.math.top_k` and `in_top_k`, which `tf.nn` has too."""

from __future__ import annotations

import collections
from typing import Any

from fastkeras import ops
from fastkeras._engine import Tensor

TopK = collections.namedtuple("TopK", ["values", "indices"])


def top_k(
    input: Any,
    k: Any = 1,
    sorted: bool = True,
    index_type: Any = "int32",
    name: str | None = None,
) -> TopK:
    """The k largest elements along the last dimension, in descending order, and their indices."""
    values, indices = ops.top_k(input, int(k))
    return TopK(values, ops.cast(indices, index_type))


def in_top_k(targets: Any, predictions: Any, k: Any, name: str | None = None) -> Tensor:
    """Whether each target class is among the k predicted highest."""
    return ops.in_top_k(targets, predictions, int(k))
