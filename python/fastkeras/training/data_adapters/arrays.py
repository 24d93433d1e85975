"""Checks and conversions of the arrays users pass: types, lengths, splits and class weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optree

from fastkeras import _engine
from fastkeras.core import config

NAMESPACE = "fastkeras"
# `dtype.name` is computed anew at every access, which takes longer than looking it up.
_NAMES = {np.dtype(t): t for t in ("bool", "float16", "float32", "float64")}
_NAMES.update(
    {np.dtype(f"{sign}int{bits}"): f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
_INTEGERS = frozenset(d for d in _NAMES if d.kind in "iub")
_NUMBERS = (int, float, bool, np.number, np.bool_)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Splits what a dataset yields into (x, y, sample_weight), None for what is missing.

    Args:
        data: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        ValueError: if it is a tuple of another length.

    Example:
        >>> unpack_x_y_sample_weight((1, 2))
        (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if 1 <= len(data) <= 3:
        return data + (None,) * (3 - len(data))
    raise ValueError(
        "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, but a tuple of "
        f"{len(data)} was found. Override `train_step` to handle other formats."
    )


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Packs its arguments as a dataset would yield them; the inverse of `unpack_x_y_sample_weight`.

    Example:
        >>> pack_x_y_sample_weight(1, 2)
        (1, 2)
    """
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def dtype_name(dtype: np.dtype) -> str:
    """The engine's name for a NumPy type."""
    # Types of the other byte order are equal to no key.
    return _NAMES.get(dtype) or dtype.name


def is_array_like(x: Any) -> bool:
    """Whether `x` is an array of any library (not a list)."""
    return isinstance(x, (np.ndarray, _engine.Tensor, _engine.Cell)) or (
        hasattr(x, "__array__") and hasattr(x, "shape")
    )


def is_number_list(x: Any) -> bool:
    """Whether `x` is a list of Python numbers, possibly nested: an array written as a list."""
    while isinstance(x, (list, tuple)):
        if not x or any(is_array_like(item) for item in x):
            return isinstance(x, list) and bool(x) and all(isinstance(item, np.generic) for item in x)
        x = x[0]
    return isinstance(x, _NUMBERS)


def _is_leaf(x: Any) -> bool:
    return is_array_like(x) or (isinstance(x, (list, tuple)) and is_number_list(x))


def flatten(data: Any, is_batch: bool = False) -> tuple[list[Any], Any]:
    """(leaves, treedef) of nested arrays; lists of numbers are leaves, None is nothing.

    Args:
        data: the arrays.
        is_batch: whether `data` itself is `(x, y, ...)`, a nest even if it holds only numbers.
    """
    if is_batch:
        return optree.tree_flatten(data, is_leaf=lambda n: n is not data and _is_leaf(n), namespace=NAMESPACE)
    return optree.tree_flatten(data, is_leaf=_is_leaf, namespace=NAMESPACE)


def as_array(x: Any, name: str = "x") -> np.ndarray:
    """Returns `x` as a NumPy array: floats as `floatx()`, integers and booleans as they are.

    Raises:
        ValueError: if it holds strings or other objects, or is no array at all.
    """
    if type(x) is not np.ndarray:
        x = _to_numpy(x, name)
    dtype = x.dtype
    if dtype in _INTEGERS:
        return x
    kind = dtype.kind
    if kind == "f" or (kind == "V" and dtype.name == "bfloat16"):
        floatx = config.floatx()
        if dtype_name(dtype) == floatx and dtype.isnative:
            return x
        # Large files mapped into memory are converted batch by batch instead.
        return x if isinstance(x, np.memmap) else x.astype(_numpy_dtype(floatx))
    if kind in "iub":
        return x if dtype.isnative else x.astype(dtype.newbyteorder("="))
    shape = f"of shape {x.shape}"
    if kind in "OSUT":
        raise ValueError(
            f"Invalid dtype: {dtype} in `{name}` ({shape}). Expected numbers (floats, integers or booleans). "
            f'Convert it first, e.g. `np.asarray({name}).astype("float32")`; strings need a StringLookup or '
            "TextVectorization layer applied before training."
        )
    raise ValueError(
        f"Invalid dtype: {dtype} in `{name}` ({shape}). Expected floats, integers or booleans. Convert it "
        f'first, e.g. with `.astype("float32")`.'
    )


def batch_dtype(x: np.ndarray) -> np.dtype | None:
    """The type batches of `x` must be cast to, None if they are right as they are (see `as_array`)."""
    dtype = x.dtype
    if dtype in _INTEGERS or (dtype_name(dtype) == config.floatx() and dtype.isnative):
        return None
    return _numpy_dtype(config.floatx())


def _numpy_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _to_numpy(x: Any, name: str) -> np.ndarray:
    if isinstance(x, np.memmap):
        return x
    if isinstance(x, (_engine.Tensor, _engine.Cell)):
        return x.value.numpy() if isinstance(x, _engine.Cell) else x.numpy()
    try:
        if hasattr(x, "detach") and hasattr(x, "cpu"):
            # A PyTorch tensor, which refuses __array__ while it requires a gradient or lives on a GPU.
            x = x.detach().cpu()
        if hasattr(x, "__array__"):
            return np.asarray(x)
        if hasattr(x, "__dlpack__"):
            return np.from_dlpack(x)
        if isinstance(x, (list, tuple)):
            array = np.array(x)
            return array.astype(np.float32) if array.dtype == np.float64 else array
        if isinstance(x, _NUMBERS):
            return np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` of type {type(x).__name__} cannot be made into an array: {error}. Expected an array, "
            "or lists of numbers of equal lengths."
        ) from error
    raise ValueError(
        f"Unrecognized data type: {name}={_brief(x)} (of type {type(x)}). Expected a NumPy array, a tensor, "
        "lists or dicts of them, a PyDataset, a Python generator, or an iterable of batches."
    )


def standardize(data: Any, name: str) -> Any:
    """Returns `data` with every leaf as a checked NumPy array of at least one dimension; None stays None."""
    if data is None:
        return None
    if type(data) is np.ndarray and data.ndim:
        return as_array(data, name)
    leaves, treedef = flatten(data)
    arrays = []
    for i, leaf in enumerate(leaves):
        label = name if len(leaves) == 1 else f"{name}[{i}]"
        array = as_array(leaf, label)
        if array.ndim == 0:
            raise ValueError(
                f"`{label}` is a scalar ({array!r}), but the first axis of every array must be that of the "
                "samples. Pass an array of shape (samples, ...)."
            )
        arrays.append(array)
    return treedef.unflatten(arrays)


def check_lengths(x: Any, y: Any = None, sample_weight: Any = None) -> int:
    """Returns the common number of samples of all arrays.

    Raises:
        ValueError: if it differs between arrays, or is zero.
    """
    sizes = {}
    for name, data in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        if type(data) is np.ndarray:
            sizes[name] = [len(data)]
        elif data is not None:
            lengths = [len(a) for a in flatten(data)[0]]
            if lengths:
                sizes[name] = lengths
    distinct = {n for lengths in sizes.values() for n in lengths}
    if len(distinct) > 1:
        listing = ", ".join(f"{name!r} sizes: {', '.join(map(str, v))}" for name, v in sizes.items())
        raise ValueError(
            f"Data cardinality is ambiguous: the arrays have different numbers of samples ({listing}). "
            "Make sure that all arrays have the same length along their first axis."
        )
    if not distinct:
        raise ValueError("No data was passed: `x` holds no arrays. Pass at least one array of samples.")
    n = distinct.pop()
    if n == 0:
        raise ValueError(
            "The data is empty: the arrays hold 0 samples. Expected at least one. Check how `x` was made or "
            "filtered."
        )
    return n


def train_validation_split(data: tuple[Any, Any, Any], validation_split: float) -> tuple[Any, Any]:
    """Splits (x, y, sample_weight) into two parts: the last samples are for validation.

    Args:
        data: nested arrays; None where there is nothing.
        validation_split: fraction of the samples for validation, between 0 and 1.

    Raises:
        ValueError: if the fraction is out of range, leaves either part empty, or the data is no arrays.
    """
    if isinstance(validation_split, bool) or not isinstance(validation_split, (int, float, np.number)):
        raise ValueError(
            f"`validation_split` must be a float between 0 and 1. Received: "
            f"validation_split={validation_split!r} of type {type(validation_split)}"
        )
    if not 0 < validation_split < 1:
        raise ValueError(
            f"`validation_split` must lie between 0 and 1 (exclusive). Received: "
            f"validation_split={validation_split}. Pass the fraction of samples to hold out, e.g. 0.2."
        )
    leaves = flatten(data, is_batch=True)[0]
    wrong = [type(leaf) for leaf in leaves if not _is_leaf(leaf)]
    if wrong:
        raise ValueError(
            "Argument `validation_split` is only supported for arrays: a generator or dataset cannot be "
            f"split. Found: {wrong}. Pass `validation_data` instead."
        )
    x, y, sample_weight = (standardize(d, n) for d, n in zip(data, ("x", "y", "sample_weight")))
    n = check_lengths(x, y, sample_weight)
    split_at = int(math.floor(n * (1.0 - validation_split)))
    if split_at == 0 or split_at == n:
        raise ValueError(
            f"Training data contains {n} samples, which is not sufficient to split it into a validation and "
            f"training set as specified by `validation_split={validation_split}`. Either provide more data, "
            "or a different value for the `validation_split` argument."
        )

    def part(s: slice) -> tuple[Any, ...]:
        return tuple(
            None if d is None else optree.tree_map(lambda a: a[s], d, namespace=NAMESPACE)
            for d in (x, y, sample_weight)
        )

    return part(slice(0, split_at)), part(slice(split_at, n))


def class_weight_to_sample_weights(y: Any, class_weight: dict[int, float]) -> np.ndarray:
    """Returns one weight per target from its class; classes that are not named weigh 1.

    Args:
        y: class indices, of shape (n,) or (n, 1), or one-hot rows (the largest entry names the class).
        class_weight: dict from class indices to weights.
    """
    if not isinstance(class_weight, dict):
        raise ValueError(
            f"`class_weight` must be a dict from class indices to weights. Received: {_brief(class_weight)} "
            f"of type {type(class_weight)}"
        )
    leaves = flatten(y)[0]
    if len(leaves) != 1:
        raise ValueError(
            f"`class_weight` is only supported for models with a single output, but `y` holds {len(leaves)} "
            "arrays. Use `sample_weight` instead."
        )
    labels = as_array(leaves[0], "y")
    if labels.ndim > 1:
        labels = np.argmax(labels, axis=-1) if labels.shape[-1] != 1 else labels[..., 0]
    labels = np.round(labels).astype("int64")
    weights = np.ones(labels.shape, dtype=_numpy_dtype(config.floatx()))
    for index, weight in class_weight.items():
        if isinstance(index, str) or not isinstance(weight, (int, float, np.number)):
            raise ValueError(
                f"`class_weight` must map class indices (integers) to numbers, but holds {index!r}: "
                f"{weight!r}."
            )
        weights[labels == index] = weight
    return weights


def broadcast_sample_weight(sample_weight: Any, y: Any) -> Any:
    """Checks sample weights against the targets: one array for all of them, or one per target.

    Raises:
        ValueError: if they are nested in another way than the targets.
    """
    if sample_weight is None or _is_leaf(sample_weight):
        return sample_weight
    weights, targets = flatten(sample_weight), flatten(y)
    if len(weights[0]) == 1:
        return sample_weight
    if isinstance(sample_weight, dict) and isinstance(y, dict):
        fits = set(sample_weight) == set(y)
    else:
        fits = len(sample_weight) == (len(y) if isinstance(y, (list, tuple, dict)) else 1)
    if not fits and len(weights[0]) != len(targets[0]):
        raise ValueError(
            "You should provide one `sample_weight` array per output in `y`. The two structures did not "
            f"match: y is {targets[1]}, sample_weight is {weights[1]}."
        )
    return sample_weight


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
