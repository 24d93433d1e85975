"""From what users pass to `fit`, `evaluate` and `predict` to a source of batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras.data import Dataset
from fastkeras.training.data_adapters.adapter import (
    ArrayAdapter,
    DataAdapter,
    EpochStream,
    IterableAdapter,
    Signature,
)
from fastkeras.training.data_adapters.arrays import (
    broadcast_sample_weight,
    check_lengths,
    class_weight_to_sample_weights,
    is_array_like,
    pack_x_y_sample_weight,
    standardize,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from fastkeras.training.data_adapters.dataset import DatasetAdapter
from fastkeras.training.data_adapters.py_dataset import PyDataset, PyDatasetAdapter

__all__ = [
    "ArrayAdapter",
    "DataAdapter",
    "DatasetAdapter",
    "EpochStream",
    "IterableAdapter",
    "PyDataset",
    "PyDatasetAdapter",
    "Signature",
    "get_data_adapter",
    "is_dataset",
    "pack_x_y_sample_weight",
    "train_validation_split",
    "unpack_x_y_sample_weight",
]


def is_dataset(x: Any) -> bool:
    """Whether `x` yields batches by itself: a PyDataset, generator or other iterable, but not arrays."""
    if x is None or is_array_like(x) or isinstance(x, (list, tuple, dict, str, bytes, int, float)):
        return False
    return (
        isinstance(x, PyDataset)
        or hasattr(x, "__iter__")
        or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))
    )


def get_data_adapter(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool | str = False,
    class_weight: dict[int, float] | None = None,
) -> DataAdapter:
    """Returns the adapter for the data passed to `fit`, `evaluate` or `predict`.

    Args:
        x: arrays (nested in lists, tuples or dicts), or a source of batches.
        y: targets, only with arrays.
        sample_weight: weights of the samples, only with arrays.
        batch_size: number of samples per batch of arrays, default 32 (or what makes `steps_per_epoch`
            batches).
        steps_per_epoch: number of batches per epoch.
        shuffle: whether to shuffle.
        class_weight: weights by class.

    Raises:
        ValueError: for data that cannot be used, saying why.
    """
    check_batch_size(batch_size)
    if class_weight is not None and sample_weight is not None:
        raise ValueError(
            "`class_weight` and `sample_weight` were both passed, but only one of them can be used. Multiply "
            "the class weights into `sample_weight` instead."
        )
    if is_dataset(x):
        kind = type(x).__name__
        for name, value, what in (("y", y, "targets"), ("sample_weight", sample_weight, "sample weights")):
            if value is not None:
                raise ValueError(
                    f"When `x` yields batches by itself ({kind}), `{name}` should not be passed. The {what} "
                    f"should be part of what it yields: `(x, y)` or `(x, y, sample_weight)`."
                )
        if isinstance(x, Dataset):
            return DatasetAdapter(x, class_weight, steps_per_epoch)
        if isinstance(x, PyDataset) or (
            hasattr(x, "__getitem__") and hasattr(x, "__len__") and _has_no_iter(x)
        ):
            return PyDatasetAdapter(x, shuffle=shuffle, class_weight=class_weight)
        return IterableAdapter(x, class_weight=class_weight)
    if x is None:
        raise ValueError(
            "No data was passed: `x` is None. Pass an array, a list or dict of arrays, a PyDataset, a "
            "generator or another iterable of batches."
        )
    x = standardize(x, "x")
    y = standardize(y, "y")
    sample_weight = broadcast_sample_weight(standardize(sample_weight, "sample_weight"), y)
    if class_weight is not None:
        if y is None:
            raise ValueError("`class_weight` needs the targets of the samples, but `y` is None. Pass `y`.")
        sample_weight = class_weight_to_sample_weights(y, class_weight)
    if sample_weight is not None:
        if y is None:
            raise ValueError("`sample_weight` was passed without targets. Pass `y` as well.")
        sample_weight = _as_float(sample_weight)
    n = check_lengths(x, y, sample_weight)
    if batch_size is None:
        batch_size = 32 if not steps_per_epoch else max(1, -(-n // steps_per_epoch))
    return ArrayAdapter(pack_x_y_sample_weight(x, y, sample_weight), batch_size, shuffle)


def check_batch_size(batch_size: Any, name: str = "batch_size") -> None:
    """Raises ValueError unless `batch_size` is None or a positive integer."""
    if batch_size is None:
        return
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise ValueError(
            f"`{name}` must be a positive integer or None. Received: {name}={batch_size!r} of type "
            f"{type(batch_size)}"
        )
    if batch_size <= 0:
        raise ValueError(
            f"`{name}` must be a positive integer or None. Received: {name}={batch_size}. Pass e.g. 32."
        )


def _has_no_iter(x: Any) -> bool:
    """Whether iterating `x` would only mean indexing it."""
    return not hasattr(type(x), "__iter__")


def _as_float(weights: Any) -> Any:
    import optree

    from fastkeras.core import config
    from fastkeras.training.data_adapters.arrays import NAMESPACE, _numpy_dtype

    dtype = _numpy_dtype(config.floatx())
    return optree.tree_map(
        lambda a: a.astype(dtype) if a.dtype.kind in "iub" else a, weights, namespace=NAMESPACE
    )
