"""Steps that put elements together into batches and windows, and take them apart."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastkeras.data.constants import UNKNOWN_CARDINALITY
from fastkeras.data.dtypes import TEXT_KINDS, numpy_dtype
from fastkeras.data.element_spec import (
    DatasetSpec,
    add_axis,
    drop_axis,
    standardize_shape,
    tensor_spec,
)
from fastkeras.data.node import Derived, Element, Elements, Node, Run, Table, regroup
from fastkeras.data.prefetching import Autotuner, map_elements
from fastkeras.data.structure import as_array, flatten


class Batch(Derived):
    """Elements stacked in groups.

    Args:
        source: the node to read.
        batch_size: number of elements in a group.
        drop_remainder: whether to leave out a last group that is smaller.
        num_parallel_calls: number of threads that stack.
    """

    def __init__(
        self, source: Node, batch_size: int, drop_remainder: bool, num_parallel_calls: int | None = None
    ) -> None:
        super().__init__(source)
        self.batch_size = batch_size
        self.drop_remainder = drop_remainder
        self._parallel_calls = num_parallel_calls
        self._autotuner = Autotuner()

    def elements(self, run: Run) -> Iterator[Element]:
        groups = regroup(self.source.chunks(run), self.batch_size)
        if self.drop_remainder:
            groups = (g for g in groups if len(g) == self.batch_size)
        table = self.source.table
        assemble = self.assemble if table is None else table.gather
        return map_elements(run, assemble, groups, self._parallel_calls, self._autotuner)

    def assemble(self, group: list[Element]) -> Element:
        """Makes one batch of several elements."""
        columns, treedef = columns_of(group)
        return treedef.unflatten([stack(column) for column in columns])

    def cardinality(self) -> int:
        n = self.source.cardinality()
        if n < 0:
            return n
        return n // self.batch_size if self.drop_remainder else -(-n // self.batch_size)

    def make_spec(self) -> Any:
        return add_axis(self.source.spec(), self.batch_size if self.drop_remainder else None)


def columns_of(group: list[Element]) -> tuple[list[list[Any]], Any]:
    """(for each leaf its values in all elements, treedef) of elements nested alike.

    Raises:
        ValueError: if they are nested in different ways.
    """
    treedef = flatten(group[0])[1]
    try:
        rows = [treedef.flatten_up_to(e) for e in group]
    except ValueError as error:
        raise _nested_differently(error) from error
    return [list(column) for column in zip(*rows)], treedef


def stack(arrays: list[np.ndarray]) -> np.ndarray:
    """Stacks arrays of equal shapes and types.

    Raises:
        ValueError: if they differ.
    """
    first = arrays[0]
    _check_leaf(first)
    shape, dtype = first.shape, first.dtype
    is_text = dtype.kind in TEXT_KINDS
    for a in arrays:
        if type(a) is not np.ndarray:
            _check_leaf(a)
        if a.shape != shape:
            raise ValueError(
                f"Elements of different shapes cannot be stacked into a batch: {shape} and {a.shape}. Expected "
                "equal shapes. Use `padded_batch`, or make them equal with `map` (pad, resize or crop)."
            )
        if a.dtype is not dtype and a.dtype != dtype and not (is_text and a.dtype.kind in TEXT_KINDS):
            raise ValueError(
                f"Elements of different types cannot be stacked into a batch: {dtype} and {a.dtype}. Expected "
                "equal types. Convert them with `map`."
            )
    if dtype.kind == "O":
        # Objects are put in one by one: NumPy would look into them.
        out = np.empty((len(arrays), *shape), object)
        for i, a in enumerate(arrays):
            out[i] = a[()] if not shape else a
        return out
    # The fastest way for many small arrays; the type of text is as wide as the longest.
    return np.array(arrays) if is_text or first.nbytes <= 4096 else np.stack(arrays)


def _check_leaf(leaf: Any) -> None:
    if isinstance(leaf, Node):
        raise TypeError(
            "Nested datasets cannot be stacked into a batch. Expected arrays. Turn each nested dataset into "
            "arrays first, e.g. `.flat_map(lambda window: window.batch(size))`."
        )
    if not isinstance(leaf, np.ndarray):
        raise _nested_differently(f"one has an array where another has a {type(leaf).__name__}")


def _nested_differently(how: object) -> ValueError:
    return ValueError(
        f"Elements of one batch are nested in different ways: {how}. Expected all of them to be nested like the "
        "first. Return the same structure from every branch of the functions given to `map`."
    )


class PaddedBatch(Batch):
    """Elements of different shapes, padded to a common one and stacked in groups.

    Args:
        source: the node to read.
        batch_size: number of elements in a group.
        padded_shapes: nested shapes like the elements; None or -1 pads an axis to the longest of the batch. None
            alone does so for all axes.
        padding_values: nested values to pad with, or one for all; None pads with zeros, or empty text.
        drop_remainder: whether to leave out a last group that is smaller.
    """

    def __init__(
        self, source: Node, batch_size: int, padded_shapes: Any, padding_values: Any, drop_remainder: bool
    ) -> None:
        super().__init__(source, batch_size, drop_remainder)
        self._shapes = padded_shapes
        self._values = padding_values

    def elements(self, run: Run) -> Iterator[Element]:
        groups = regroup(([e] for e in self.source.elements(run)), self.batch_size)
        return (self.assemble(g) for g in groups if len(g) == self.batch_size or not self.drop_remainder)

    def assemble(self, group: list[Element]) -> Element:
        columns, treedef = columns_of(group)
        shapes = self._leaf_shapes(treedef)
        values = self._leaf_values(treedef)
        return treedef.unflatten(
            [_padded(column, shape, value) for column, shape, value in zip(columns, shapes, values)]
        )

    def _leaf_shapes(self, treedef: Any) -> list[tuple[int | None, ...] | None]:
        if self._shapes is None:
            return [None] * treedef.num_leaves
        shapes = _flatten_like(treedef, self._shapes, "padded_shapes")
        return [standardize_shape(shape) for shape in shapes]

    def _leaf_values(self, treedef: Any) -> list[Any]:
        values = self._values
        if values is None or isinstance(values, (bool, int, float, str, bytes, np.generic)):
            return [values] * treedef.num_leaves
        if isinstance(values, np.ndarray) or not flatten(values)[0]:
            return [values] * treedef.num_leaves
        return _flatten_like(treedef, values, "padding_values")

    def make_spec(self) -> Any:
        leaves, treedef = flatten(self.source.spec())
        n = self.batch_size if self.drop_remainder else None
        specs = []
        for spec, shape in zip(leaves, self._leaf_shapes(treedef)):
            dims = spec.shape if shape is None else shape
            if dims is not None and spec.shape is not None and len(dims) == len(spec.shape):
                dims = [known if d is None else d for d, known in zip(dims, spec.shape)]
            specs.append(tensor_spec(None if dims is None else (n, *dims), spec.dtype))
        return treedef.unflatten(specs)


def _flatten_like(treedef: Any, structure: Any, name: str) -> list[Any]:
    try:
        return treedef.flatten_up_to(structure)
    except ValueError as error:
        raise ValueError(
            f"`{name}` is not nested like the elements of the dataset: {error}. Received: {name}={structure!r}. "
            "Expected one entry for each component, in the same tuples and dicts."
        ) from error


def _padded(arrays: list[np.ndarray], shape: tuple[int | None, ...] | None, value: Any) -> np.ndarray:
    first = arrays[0]
    _check_leaf(first)
    rank = first.ndim if shape is None else len(shape)
    is_text = first.dtype.kind in TEXT_KINDS
    for a in arrays:
        _check_leaf(a)
        if a.ndim != rank or not (a.dtype == first.dtype or (is_text and a.dtype.kind in TEXT_KINDS)):
            raise ValueError(
                f"padded_batch got an array of shape {a.shape} and dtype {a.dtype}. Expected {rank} axes and dtype "
                f"{first.dtype}. Fix `padded_shapes`, or make the elements alike with `map`."
            )
    longest = [max(a.shape[i] for a in arrays) for i in range(rank)]
    dims = longest if shape is None else [n if d is None else d for d, n in zip(shape, longest)]
    if any(n > d for n, d in zip(longest, dims)):
        raise ValueError(
            f"padded_batch got an element of shape {tuple(longest)}, which is larger than its padded shape "
            f"{tuple(dims)}. Expected elements that fit. Enlarge `padded_shapes`, or use None there for the longest "
            "in the batch."
        )
    if value is None:
        value = "" if is_text else 0
    elif not is_text and as_array(value).dtype.kind == "f" and first.dtype.kind in "iub":
        raise ValueError(
            f"padded_batch cannot pad an array of dtype {first.dtype} with {value!r}. Expected a padding value of "
            "that type. Pass an integer, or convert the elements with `map`."
        )
    out = np.full((len(arrays), *dims), value, numpy_dtype("string") if is_text else first.dtype)
    for i, a in enumerate(arrays):
        out[(i, *(slice(n) for n in a.shape))] = a
    return out


class _Rows:
    """Several arrays of equal length, cut and put together along their first axis."""

    def __init__(self, leaves: list[np.ndarray], treedef: Any) -> None:
        self.leaves = leaves
        self.treedef = treedef

    @classmethod
    def of(cls, element: Element, step: str) -> _Rows:
        """The rows of an element, checked."""
        leaves, treedef = flatten(element)
        shapes = [getattr(a, "shape", None) for a in leaves]
        if not leaves or not all(shapes) or len({s[0] for s in shapes if s}) != 1:
            raise ValueError(
                f"{step} got an element whose arrays have the shapes {shapes}. Expected arrays of equal length "
                "along the first axis. Use it after `batch`."
            )
        return cls(leaves, treedef)

    def __len__(self) -> int:
        return len(self.leaves[0])

    def __getitem__(self, part: slice) -> _Rows:
        return _Rows([a[part] for a in self.leaves], self.treedef)

    @staticmethod
    def join(parts: list[_Rows]) -> _Rows:
        """Puts rows one after the other."""
        if len(parts) == 1:
            return parts[0]
        return _Rows([np.concatenate(column) for column in zip(*(p.leaves for p in parts))], parts[0].treedef)


class Unbatch(Derived):
    """The rows of the elements, each as an element."""

    def elements(self, run: Run) -> Iterator[Element]:
        for element in self.source.elements(run):
            rows = _Rows.of(element, "unbatch")
            yield from map(Table(rows.leaves, rows.treedef).row, range(len(rows)))

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY

    def make_spec(self) -> Any:
        return drop_axis(self.source.spec())


class Rebatch(Derived):
    """The rows of the elements, in batches of another size."""

    def __init__(self, source: Node, batch_size: int, drop_remainder: bool) -> None:
        super().__init__(source)
        self.batch_size = batch_size
        self.drop_remainder = drop_remainder

    def elements(self, run: Run) -> Iterator[Element]:
        batches = (_Rows.of(element, "rebatch") for element in self.source.elements(run))
        for rows in regroup(batches, self.batch_size, _Rows.join):
            if len(rows) == self.batch_size or not self.drop_remainder:
                yield rows.treedef.unflatten(rows.leaves)

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY

    def make_spec(self) -> Any:
        return add_axis(drop_axis(self.source.spec()), self.batch_size if self.drop_remainder else None)


class Window(Derived):
    """Groups of elements as nested datasets, one for each component of the elements.

    Args:
        source: the node to read.
        size: number of elements in a window.
        shift: how far one window begins after the other.
        stride: distance between the elements of a window.
        drop_remainder: whether to leave out last windows that are smaller.
    """

    def __init__(self, source: Node, size: int, shift: int, stride: int, drop_remainder: bool) -> None:
        super().__init__(source)
        self.size = size
        self.shift = shift
        self.stride = stride
        self.drop_remainder = drop_remainder

    @property
    def _span(self) -> int:
        """Number of elements from the first to the last of a window."""
        return (self.size - 1) * self.stride + 1

    def elements(self, run: Run) -> Iterator[Element]:
        items: collections.deque[Any] = collections.deque()
        to_skip = 0
        for chunk in self.source.chunks(run):
            for item in chunk.tolist() if isinstance(chunk, np.ndarray) else chunk:
                if to_skip:
                    # Windows that begin after the end of the one before.
                    to_skip -= 1
                    continue
                items.append(item)
                if len(items) == self._span:
                    yield self._window(items)
                    to_skip = self._advance(items)
        while items and not self.drop_remainder:
            yield self._window(items)
            self._advance(items)

    def _advance(self, items: collections.deque[Any]) -> int:
        """Drops what lies before the next window; returns how much of that is still to come."""
        n = min(self.shift, len(items))
        for _ in range(n):
            items.popleft()
        return self.shift - n

    def _window(self, items: collections.deque[Any]) -> Element:
        chosen = list(items)[:: self.stride]
        table = self.source.table
        if table is not None:
            rows = np.array(chosen)
            treedef = table.treedef
            nodes = [Elements(rows, self._leaf_spec(j), table.column(j)) for j in range(treedef.num_leaves)]
        else:
            columns, treedef = columns_of(chosen)
            nodes = [Elements(column, self._leaf_spec(j)) for j, column in enumerate(columns)]
        return treedef.unflatten(nodes)

    def _leaf_spec(self, j: int) -> Callable[[], Any]:
        return lambda: flatten(self.source.spec())[0][j]

    def cardinality(self) -> int:
        n = self.source.cardinality()
        if n < 0:
            return n
        if self.drop_remainder:
            return max(0, (n - self._span) // self.shift + 1)
        return -(-n // self.shift)

    def make_spec(self) -> Any:
        leaves, treedef = flatten(self.source.spec())
        return treedef.unflatten([DatasetSpec(spec) for spec in leaves])
