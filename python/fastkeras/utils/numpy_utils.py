"""Small helpers on label and feature arrays: `to_categorical` and `normalize`."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Converts class indices to one-hot rows, e.g. for use with `categorical_crossentropy`.

    Args:
        x: array-like of class indices from 0 to `num_classes - 1`. A last axis of size 1 is dropped.
        num_classes: number of classes; None means `max(x) + 1`.

    Returns:
        A float array of shape `x.shape + (num_classes,)`: a NumPy array, or a Tensor if `x` is one.

    Raises:
        ValueError: if an index lies outside the range.

    Example:
        >>> to_categorical([0, 2], num_classes=3)
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    from fastkeras import _engine

    if isinstance(x, (_engine.Tensor, _engine.Cell)):
        from fastkeras import ops

        if num_classes is None:
            num_classes = int(np.max(ops.convert_to_numpy(x))) + 1
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.reshape(x, tuple(x.shape[:-1]))
        return ops.one_hot(x, num_classes)
    labels = np.array(x, dtype="int64")
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    flat = labels.reshape(-1)
    if num_classes is None:
        if flat.size == 0:
            raise ValueError(
                "to_categorical() cannot infer `num_classes` from an empty array. Pass `num_classes`. "
                f"Received: x of shape {labels.shape}"
            )
        num_classes = int(flat.max()) + 1
    if flat.size and (flat.max() >= num_classes or flat.min() < 0):
        bad = flat[(flat >= num_classes) | (flat < 0)][0]
        raise ValueError(
            f"to_categorical() received the class index {bad}, but with num_classes={num_classes} indices "
            f"must lie in [0, {num_classes - 1}]. Raise `num_classes` or renumber the classes."
        )
    rows = np.zeros((flat.size, num_classes))
    rows[np.arange(flat.size), flat] = 1
    return rows.reshape(shape + (num_classes,))


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """Divides an array by its norm along an axis; all-zero slices stay zero.

    Args:
        x: array to normalize.
        axis: axis along which to normalize.
        order: order of the norm (2 for L2).

    Returns:
        A normalized copy: a NumPy array, or a Tensor if `x` is one.
    """
    from fastkeras import _engine

    if isinstance(x, (_engine.Tensor, _engine.Cell)):
        from fastkeras import ops

        return ops.normalize(x, axis=axis, order=order)
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)
