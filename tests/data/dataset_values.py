"""Reading datasets into Python values that compare with ==, and the threads that work for them."""

from __future__ import annotations

import threading

import numpy as np
import optree
from fastkeras.data import Dataset


def plain(element):
    """An element with lists and numbers for its arrays."""
    return optree.tree_map(lambda a: a.tolist() if hasattr(a, "tolist") else a, element)


def values(dataset):
    """All elements, as the public NumPy iterator gives them."""
    return [plain(e) for e in dataset.as_numpy_iterator()]


def slow_path(dataset):
    """The same elements, one by one instead of as row numbers: `map` hides the arrays from the steps after it."""
    return dataset.map(lambda *e: e[0] if len(e) == 1 else e)


def numbers(n):
    return Dataset.from_tensor_slices(np.arange(n))


def data_threads() -> list[threading.Thread]:
    """The threads of pipelines that are alive."""
    return [t for t in threading.enumerate() if t.name.startswith("fastkeras-data")]
