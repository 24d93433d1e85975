"""`split_dataset`: a left and a right part of a dataset, for training and testing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import optree


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Splits a dataset into a left half and a right half (e.g. train / test).

    Args:
        dataset: an array, a list or tuple of arrays of equal length, a `fastkeras.data.Dataset`, or any
            object with samples to iterate over.
        left_size: samples of the left part: a fraction between 0 and 1 or a number; by default what the right
            part leaves.
        right_size: the same for the right part.
        shuffle: whether to shuffle the samples before they are split.
        seed: seed of the shuffling.
        preferred_backend: accepted for compatibility; there is one kind of dataset.

    Returns:
        A pair of `fastkeras.data.Dataset`s of single samples.

    Raises:
        ValueError: if the dataset is empty or the sizes do not fit it.

    Example:
        >>> left, right = split_dataset(np.random.random((1000, 4)), left_size=0.8)
    """
    try:
        from fastkeras.data import Dataset
    except ImportError:
        raise NotImplementedError(
            "Missing capability: split_dataset() returns fastkeras.data.Dataset objects, and this build has "
            "no fastkeras.data. Split arrays by slicing them instead."
        ) from None

    if dataset is None:
        raise ValueError("`dataset` is None. Expected arrays or a dataset of samples.")
    arrays = _as_arrays(dataset)
    n = len(optree.tree_leaves(arrays, namespace="fastkeras")[0])
    n_left, n_right = _sizes(n, left_size, right_size)
    order = np.arange(n)
    if shuffle:
        np.random.default_rng(random.randint(0, 2**31) if seed is None else seed).shuffle(order)

    def part(rows: np.ndarray) -> Any:
        return Dataset.from_tensor_slices(
            optree.tree_map(lambda a: a[rows], arrays, namespace="fastkeras")  # type: ignore[arg-type]
        )

    return part(order[:n_left]), part(order[n - n_right :])


def _as_arrays(dataset: Any) -> Any:
    """All samples as nested arrays."""
    if isinstance(dataset, np.ndarray):
        return dataset
    if isinstance(dataset, (list, tuple)):
        arrays = tuple(np.asarray(a) for a in dataset)
        if len({len(a) for a in arrays}) != 1:
            raise ValueError(
                "The arrays of `dataset` must have the same length, but have "
                f"{[len(a) for a in arrays]} samples."
            )
        return arrays
    samples = list(dataset)
    if not samples:
        raise ValueError("`dataset` is empty: it has no samples to split.")
    return optree.tree_map(
        lambda *leaves: np.stack([np.asarray(v) for v in leaves]), *samples, namespace="fastkeras"
    )


def _sizes(n: int, left: float | int | None, right: float | int | None) -> tuple[int, int]:
    """The numbers of samples of the two parts."""
    if left is None and right is None:
        raise ValueError("At least one of `left_size` and `right_size` must be passed. Received: both None.")
    counts: list[int | None] = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            counts.append(None)
            continue
        if isinstance(size, bool) or not isinstance(size, (int, float, np.number)):
            raise TypeError(
                f"`{name}` must be a float, an int or None. Received: {size!r} of type {type(size)}"
            )
        is_fraction = isinstance(size, (float, np.floating))
        if size <= 0 or (is_fraction and size >= 1) or size >= n:
            raise ValueError(
                f"`{name}` must be a fraction between 0 and 1, or a number of samples between 0 and {n}, the "
                f"number of samples (both exclusive). Received: {name}={size}"
            )
        counts.append(round(size * n) if is_fraction else int(size))
    n_left, n_right = counts
    if n_left is None:
        assert n_right is not None
        n_left = n - n_right
    elif n_right is None:
        n_right = n - n_left
    elif n_left + n_right > n:
        raise ValueError(
            f"`left_size` and `right_size` add up to {n_left + n_right} samples, but `dataset` has only {n}. "
            "Make one of them smaller, or pass only one."
        )
    if n_left == 0 or n_right == 0:
        raise ValueError(
            f"With left_size={left} and right_size={right}, one part of the {n} samples would be empty. "
            "Pass other sizes."
        )
    return n_left, n_right
