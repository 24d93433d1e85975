"""Batches of sequences of similar length."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastkeras.data import checks
from fastkeras.data.element_spec import TensorSpec, standardize_shape
from fastkeras.data.structure import flatten

if TYPE_CHECKING:
    from fastkeras.data.dataset import Dataset


def bucket_by_sequence_length(
    dataset: Dataset,
    element_length_func: Callable[..., Any],
    bucket_boundaries: Sequence[int],
    bucket_batch_sizes: Sequence[int],
    padded_shapes: Any,
    padding_values: Any,
    pad_to_bucket_boundary: bool,
    no_padding: bool,
    drop_remainder: bool,
) -> Dataset:
    """See `Dataset.bucket_by_sequence_length`."""
    checks.function("element_length_func", element_length_func)
    boundaries = [checks.integer("bucket_boundaries", b, 0) for b in bucket_boundaries]
    sizes = [checks.integer("bucket_batch_sizes", n, 1) for n in bucket_batch_sizes]
    if len(sizes) != len(boundaries) + 1 or sorted(boundaries) != boundaries:
        raise ValueError(
            f"Received: bucket_boundaries={boundaries}, bucket_batch_sizes={sizes}. Expected increasing boundaries "
            "and one batch size more than there are boundaries, as the last bucket has no end. Add or remove one."
        )

    def bucket_of(*element: Any) -> int:
        return bisect.bisect_right(boundaries, int(element_length_func(*element)))

    def batches(key: Any, group: Dataset) -> Dataset:
        bucket = int(key)
        if no_padding:
            return group.batch(sizes[bucket], drop_remainder)
        shapes = padded_shapes
        if pad_to_bucket_boundary:
            if bucket == len(boundaries):
                raise ValueError(
                    f"An element is at least {boundaries[-1] if boundaries else 0} long, the last of "
                    f"bucket_boundaries={boundaries}. With pad_to_bucket_boundary=True, expected shorter elements "
                    "only. Add a boundary, or drop longer elements with `filter`."
                )
            shapes = _filled(shapes, group.element_spec, boundaries[bucket] - 1)
        return group.padded_batch(sizes[bucket], shapes, padding_values, drop_remainder)

    return dataset.group_by_window(bucket_of, batches, window_size_func=lambda key: sizes[int(key)])


def _filled(shapes: Any, spec: Any, length: int) -> Any:
    """Padded shapes in which axes of unknown length have this one."""
    leaves, treedef = flatten(spec)
    if shapes is None:
        given = [s.shape if isinstance(s, TensorSpec) else None for s in leaves]
    else:
        given = [standardize_shape(shape) for shape in treedef.flatten_up_to(shapes)]
    return treedef.unflatten(
        [None if shape is None else tuple(length if d is None else d for d in shape) for shape in given]
    )
