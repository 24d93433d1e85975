"""Nodes: the steps of a pipeline, each of which makes the elements of one dataset.

A node hands out chunks: lists of elements, or, if its `table` is set, row numbers of that table (a `range` or an
integer array). Steps that only choose and order (take, shuffle, repeat ...) work on chunks of either kind, so that
over arrays they move numbers instead of data, and `batch` gathers a whole batch at once.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastkeras.data.constants import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.element_spec import example, forget_axes, merge, spec_of
from fastkeras.data.structure import flatten, frozen

if TYPE_CHECKING:
    from fastkeras.data.options import Options
    from fastkeras.data.prefetching import WorkerPool

Element = Any
Chunk = Any  # range | np.ndarray | list[Element]

# Elements looked at to tell the shapes of what a function returns.
_SAMPLES = 2


class Run:
    """One pass over a pipeline, with the threads that are to stop when it ends.

    Args:
        options: those of the dataset.
        probing: whether only the first elements are wanted to tell what they look like: nothing is shuffled,
            cached or read ahead then.
    """

    def __init__(self, options: Options | None = None, probing: bool = False) -> None:
        self.options = options
        self.probing = probing
        self._pools: list[WorkerPool] = []
        self._closed = False

    def pool(self, workers: int) -> WorkerPool:
        """Returns a new pool of threads, to be given to `release` when the step is done with it."""
        from fastkeras.data.prefetching import WorkerPool

        pool = WorkerPool(workers)
        self._pools.append(pool)
        if self._closed:
            # A step that is being stopped has just reached another one.
            pool.signal()
        return pool

    def release(self, pool: WorkerPool) -> bool:
        """Stops the threads of a pool; returns whether all have ended."""
        with contextlib.suppress(ValueError):
            self._pools.remove(pool)
        return pool.close()

    def close(self) -> None:
        """Stops all threads of this pass."""
        self._closed = True
        # All are told first: one may be waiting for another.
        for pool in list(self._pools):
            pool.signal()
        while self._pools:
            self._pools.pop().close()

    def is_deterministic(self, wanted: bool | None) -> bool:
        """Whether a parallel step must keep the order: as it says, else as the options say."""
        if wanted is None and self.options is not None:
            wanted = self.options.deterministic
        return wanted is None or bool(wanted)


class Table:
    """Rows of arrays in memory.

    Args:
        arrays: the arrays, of equal length.
        treedef: the nesting of the elements.
    """

    def __init__(self, arrays: Sequence[np.ndarray], treedef: Any) -> None:
        self.arrays = list(arrays)
        self.treedef = treedef

    def row(self, i: int) -> Element:
        """Returns one row."""
        return self.treedef.unflatten([a[i, ...] for a in self.arrays])

    def gather(self, rows: range | np.ndarray) -> Element:
        """Returns several rows as one batch: a view of the arrays if the rows follow each other."""
        if isinstance(rows, range):
            part = slice(rows.start, rows.stop, rows.step)
            arrays = [a[part] for a in self.arrays]
        else:
            arrays = [a.take(rows, axis=0) for a in self.arrays]
        return self.treedef.unflatten(arrays)

    def column(self, leaf: int) -> Table:
        """The table of one leaf of the elements alone."""
        return Table([self.arrays[leaf]], flatten(0)[1])


class Node:
    """Base class of the steps of a pipeline.

    Subclasses implement `elements`, or `chunks` if they have a table.

    Attributes:
        table: the arrays whose row numbers the chunks hold, None if they hold elements.
    """

    table: Table | None = None
    _spec: Any = None

    @property
    def label(self) -> str:
        """The name of the step, for display."""
        return type(self).__name__

    def chunks(self, run: Run) -> Iterator[Chunk]:
        """Starts a pass; yields lists of elements, or row numbers if there is a table."""
        for element in self.elements(run):
            yield [element]

    def elements(self, run: Run) -> Iterator[Element]:
        """Starts a pass; yields elements one by one."""
        table = self.table
        for chunk in self.chunks(run):
            if table is None:
                yield from chunk
            else:
                yield from map(table.row, chunk if isinstance(chunk, range) else chunk.tolist())

    def cardinality(self) -> int:
        """The number of elements; INFINITE_CARDINALITY or UNKNOWN_CARDINALITY if there is none."""
        return UNKNOWN_CARDINALITY

    def spec(self) -> Any:
        """The specification of the elements."""
        if self._spec is None:
            self._spec = self.make_spec()
        return self._spec

    def make_spec(self) -> Any:
        """Works out the specification, here from the first elements."""
        found = self.samples()
        if not found:
            raise ValueError(
                f"The element_spec of this dataset cannot be told: `{self.label}` yields no elements to look at. "
                "Expected at least one. Check the steps before it."
            )
        return merge(map(spec_of, found), f"`{self.label}`")

    def samples(self) -> list[Element]:
        """The first few elements, got without drawing random numbers or filling a cache."""
        run = Run(probing=True)
        try:
            return list(itertools.islice(self.elements(run), _SAMPLES))
        finally:
            run.close()


class Derived(Node):
    """Base class of steps that take the elements of one other node.

    Args:
        source: the node before this one.
    """

    def __init__(self, source: Node) -> None:
        self.source = source

    def cardinality(self) -> int:
        return self.source.cardinality()

    def make_spec(self) -> Any:
        return self.source.spec()

    def spec_of_results(self, function: Callable[[Element], Any]) -> Any:
        """The specification of what a function makes of the elements, got by calling it on the first ones.

        Args:
            function: from an element to a specification.
        """
        samples = self.source.samples()
        source_spec = self.source.spec()
        if not samples:
            samples = [example(source_spec)]
        specs = [forget_axes(function(s), s, source_spec) for s in samples]
        return merge(specs, f"`{self.label}`")


class Elements(Node):
    """A dataset of elements that are there already: a window, or a group.

    Args:
        items: the elements, or row numbers if there is a table.
        spec: returns the specification of the elements.
        table: the table, or None.
    """

    def __init__(self, items: Chunk, spec: Callable[[], Any], table: Table | None = None) -> None:
        self.items = items if table is not None else [frozen(e) for e in items]
        self.table = table
        self._get_spec = spec

    def chunks(self, run: Run) -> Iterator[Chunk]:
        if len(self.items):
            yield self.items

    def cardinality(self) -> int:
        return len(self.items)

    def make_spec(self) -> Any:
        return self._get_spec()


def total_cardinality(cardinalities: Iterable[int]) -> int:
    """The number of elements of datasets one after the other."""
    values = list(cardinalities)
    for special in (INFINITE_CARDINALITY, UNKNOWN_CARDINALITY):
        if special in values:
            return special
    return sum(values)


def row_numbers(chunk: Chunk) -> np.ndarray:
    """A chunk of row numbers as an array."""
    if isinstance(chunk, range):
        return np.arange(chunk.start, chunk.stop, chunk.step)
    return np.asarray(chunk)


def join(parts: list[Chunk]) -> Chunk:
    """Puts chunks of one kind together."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    return np.concatenate([row_numbers(part) for part in parts])


def pick(chunk: Chunk, order: np.ndarray) -> Chunk:
    """The items of a chunk in another order."""
    if isinstance(chunk, list):
        return [chunk[i] for i in order.tolist()]
    if isinstance(chunk, range):
        return chunk.start + chunk.step * order
    return chunk[order]


def regroup(
    chunks: Iterable[Any], size: int, put_together: Callable[[list[Any]], Any] = join
) -> Iterator[Any]:
    """Yields chunks of `size` items; the last one may be smaller.

    Args:
        chunks: chunks of any sizes, of anything that has a length and slices.
        size: number of items.
        put_together: makes one chunk of several.
    """
    parts: list[Any] = []
    held = 0
    for chunk in chunks:
        n = len(chunk)
        start = 0
        if held:
            start = min(size - held, n)
            parts.append(chunk[:start])
            held += start
            if held < size:
                continue
            yield put_together(parts)
            parts, held = [], 0
        while n - start >= size:
            yield chunk[start : start + size]
            start += size
        if start < n:
            parts, held = [chunk[start:]], n - start
    if held:
        yield put_together(parts)
