"""What elements of a dataset look like: TensorSpecs, and how transformations change shapes and types.

Functions that run in Python say nothing about their results in advance, so that the specification of a mapped
dataset is read off its first elements. Axes whose length differs between them are unknown, None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import optree

from fastkeras.core.traced_function import TensorSpec
from fastkeras.data.dtypes import dtype_name, numpy_dtype
from fastkeras.data.structure import NAMESPACE, flatten, map_structure


def tensor_spec(shape: Any, dtype: Any, name: str | None = None) -> TensorSpec:
    """Returns a TensorSpec of a checked shape; every kind of text has the type `"string"`.

    Raises:
        ValueError: if the shape or type is none.
    """
    return TensorSpec(standardize_shape(shape), dtype_name(dtype), name)


class DatasetSpec:
    """The specification of an element that is itself a dataset, as `window` makes them.

    Args:
        element_spec: that of the elements of the nested dataset.
    """

    __slots__ = ("element_spec",)

    def __init__(self, element_spec: Any) -> None:
        self.element_spec = element_spec

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, DatasetSpec):
            return NotImplemented
        return self.element_spec == other.element_spec

    def __hash__(self) -> int:
        return hash(DatasetSpec)

    def __repr__(self) -> str:
        return f"DatasetSpec({self.element_spec!r})"


def standardize_shape(shape: Any) -> tuple[int | None, ...] | None:
    """Returns a shape as a tuple of integers and None; None (any shape) stays None.

    Raises:
        ValueError: if it holds something that is no length.
    """
    if shape is None:
        return None
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    try:
        dims = tuple(None if d is None or int(d) == -1 else int(d) for d in shape)
    except (TypeError, ValueError):
        dims = (-2,)
    if any(d is not None and d < 0 for d in dims):
        raise ValueError(
            f"{shape!r} is no shape of a tensor. Expected a list or tuple of non-negative integers, with None "
            "for an unknown length, or None alone for any shape. Pass e.g. (None, 28, 28)."
        )
    return dims


def shapes_agree(a: tuple[int | None, ...] | None, b: tuple[int | None, ...] | None) -> bool:
    """Whether one tensor could have both shapes."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(x is None or y is None or x == y for x, y in zip(a, b))


def map_spec(function: Callable[[TensorSpec], TensorSpec], spec: Any) -> Any:
    """Applies `function` to the TensorSpecs of a nested specification; nested datasets stay as they are."""
    return map_structure(lambda s: function(s) if isinstance(s, TensorSpec) else s, spec)


def add_axis(spec: Any, length: int | None) -> Any:
    """The specification of batches of elements."""
    return map_spec(lambda s: tensor_spec(None if s.shape is None else (length, *s.shape), s.dtype), spec)


def drop_axis(spec: Any) -> Any:
    """The specification of the rows of elements."""
    return map_spec(lambda s: tensor_spec(None if not s.shape else s.shape[1:], s.dtype), spec)


def spec_of(element: Any) -> Any:
    """The specification of one element: nested arrays, or nodes of nested datasets."""
    return map_structure(
        lambda a: tensor_spec(a.shape, a.dtype) if isinstance(a, np.ndarray) else DatasetSpec(a.spec()),
        element,
    )


def merge(specs: Iterable[Any], what: str) -> Any:
    """The specification that fits all of several: axes that differ are unknown.

    Args:
        specs: at least one.
        what: who asks, for the message.

    Raises:
        TypeError: if they differ in nesting or types.
    """
    specs = list(specs)
    first = specs[0]
    leaves, treedef = flatten(first)
    for other in specs[1:]:
        try:
            others = treedef.flatten_up_to(other)
        except ValueError:
            others = None
        if others is None or not all(_same_kind(a, b) for a, b in zip(leaves, others)):
            raise TypeError(
                f"{what} got elements of different kinds: {first} and {other}. Expected the same nesting and "
                "the same types in all. Make them alike with `map`."
            )
        leaves = [_merge_leaf(a, b) for a, b in zip(leaves, others)]
    return treedef.unflatten(leaves)


def _same_kind(a: Any, b: Any) -> bool:
    if isinstance(a, TensorSpec) and isinstance(b, TensorSpec):
        return a.dtype == b.dtype
    return isinstance(a, DatasetSpec) and isinstance(b, DatasetSpec)


def _merge_leaf(a: Any, b: Any) -> Any:
    if not isinstance(a, TensorSpec) or a.shape == b.shape:
        return a
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return tensor_spec(None, a.dtype)
    return tensor_spec([x if x == y else None for x, y in zip(a.shape, b.shape)], a.dtype)


def forget_axes(spec: Any, element: Any, source_spec: Any) -> Any:
    """Marks as unknown the axes of a result that have the length of an unknown axis of what it was made from.

    Args:
        spec: that of the result of a function on `element`.
        element: the element the function was called with.
        source_spec: the specification of such elements.
    """
    unknown = set()
    arrays = flatten(element)[0]
    for array, s in zip(arrays, flatten(source_spec)[0]):
        if isinstance(array, np.ndarray) and isinstance(s, TensorSpec) and s.shape is not None:
            unknown |= {(i, n) for i, (n, d) in enumerate(zip(array.shape, s.shape)) if d is None}
    if not unknown:
        return spec

    def forget(s: TensorSpec) -> TensorSpec:
        if s.shape is None:
            return s
        return tensor_spec([None if (i, d) in unknown else d for i, d in enumerate(s.shape)], s.dtype)

    return map_spec(forget, spec)


def example(spec: Any) -> Any:
    """An element of zeros of this specification; unknown axes have length 1.

    Raises:
        ValueError: if it cannot be made, for a nested dataset or a tensor of any shape.
    """

    def leaf(s: Any) -> np.ndarray:
        if not isinstance(s, TensorSpec) or s.shape is None:
            raise ValueError(
                f"The element_spec of this dataset cannot be told: it has no elements to look at, and {s!r} "
                "does not say what they would be. Expected at least one element. Give from_generator a full "
                "output_signature, or add elements."
            )
        array = np.zeros([1 if d is None else d for d in s.shape], numpy_dtype(s.dtype))
        if s.dtype == "string":
            array[...] = ""
        return array

    return optree.tree_map(leaf, spec, namespace=NAMESPACE)
