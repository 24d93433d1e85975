"""Data adapters: sources of batches as flat lists of arrays, each with the signature of its step."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import optree

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.training.data_adapters.arrays import (
    NAMESPACE,
    as_array,
    batch_dtype,
    class_weight_to_sample_weights,
    dtype_name,
    flatten,
    unpack_x_y_sample_weight,
)


class Signature:
    """The nesting, shapes and types of a batch: what a compiled step depends on."""

    __slots__ = ("treedef", "shapes", "dtypes", "_hash")

    def __init__(self, treedef: Any, shapes: tuple[tuple[int, ...], ...], dtypes: tuple[str, ...]) -> None:
        self.treedef = treedef
        self.shapes = shapes
        self.dtypes = dtypes
        self._hash = hash((treedef, shapes, dtypes))

    @classmethod
    def of(cls, treedef: Any, arrays: Sequence[np.ndarray]) -> Signature:
        """The signature of a batch."""
        return cls(treedef, tuple(a.shape for a in arrays), tuple(dtype_name(a.dtype) for a in arrays))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: Any) -> bool:
        return self is other or (
            isinstance(other, Signature)
            and self._hash == other._hash
            and self.shapes == other.shapes
            and self.dtypes == other.dtypes
            and self.treedef == other.treedef
        )

    def __repr__(self) -> str:
        parts = (f"{d}{list(s)}" for s, d in zip(self.shapes, self.dtypes))
        return f"Signature({', '.join(parts)})"


# Gathered rows should still be in the processor's cache when the step reads them.
_CHUNK_BYTES = 1 << 18

Batch = tuple[Signature, Sequence[np.ndarray]]


class DataAdapter:
    """Base class: a source of batches that may be read once per epoch.

    Attributes:
        num_batches: number of batches in one pass, None if unknown or unlimited.
        one_shot: whether the data can be read only once (a generator).
    """

    num_batches: int | None = None
    one_shot = False

    def batches(self) -> Iterator[Batch]:
        """Starts a pass over the data."""
        raise NotImplementedError

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


class ArrayAdapter(DataAdapter):
    """Batches of arrays in memory: slices of them, or rows gathered into a reused buffer when shuffled.

    Args:
        data: nested NumPy arrays of equal length, as they go to the step.
        batch_size: number of samples per batch; the last batch may be smaller.
        shuffle: whether to visit the samples in a new random order on every pass; `"batch"` permutes whole
            batches.
    """

    def __init__(self, data: Any, batch_size: int, shuffle: bool | str = False) -> None:
        leaves, self._treedef = flatten(data)
        # Rows must lie one after the other, for slices to be passed to the engine as they are. (A memory map
        # stays on disk: np.ascontiguousarray returns a view of it.)
        self.arrays = [np.ascontiguousarray(a) for a in leaves]
        self._casts = [batch_dtype(a) for a in self.arrays]
        self.num_samples = len(self.arrays[0])
        self.batch_size = min(batch_size, self.num_samples)
        self._shuffle = shuffle
        self.num_batches = -(-self.num_samples // self.batch_size)
        self._full = self._signature(self.batch_size)
        rest = self.num_samples % self.batch_size
        self._last = self._signature(rest) if rest else self._full

    def _signature(self, n: int) -> Signature:
        shapes = tuple((n, *a.shape[1:]) for a in self.arrays)
        dtypes = tuple(dtype_name(cast or a.dtype) for a, cast in zip(self.arrays, self._casts))
        return Signature(self._treedef, shapes, dtypes)

    def batches(self) -> Iterator[Batch]:
        if any(cast is not None for cast in self._casts):
            return self._converted()
        if self._shuffle is True:
            return self._gathered()
        return self._sliced()

    def _starts(self) -> Iterable[int]:
        starts = range(0, self.num_samples, self.batch_size)
        if self._shuffle == "batch":
            # Only full batches move: the last one may be smaller.
            n_full = self.num_samples // self.batch_size
            order = np.random.permutation(n_full) * self.batch_size
            return [*order.tolist(), *starts[n_full:]]
        return starts

    def _sliced(self) -> Iterator[Batch]:
        size, total, full = self.batch_size, self.num_samples, self._full
        arrays = self.arrays
        for start in self._starts():
            stop = start + size
            if stop <= total:
                yield full, [a[start:stop] for a in arrays]
            else:
                yield self._last, [a[start:] for a in arrays]

    def _gathered(self) -> Iterator[Batch]:
        arrays, size, total = self.arrays, self.batch_size, self.num_samples
        order = np.random.permutation(total)
        # Rows are gathered for several small batches at once, and batches are slices of the result: gathering
        # has a price per call. The buffers are used again and again: a batch has been consumed when the next
        # is asked for.
        row_bytes = sum(a.nbytes // total for a in arrays) or 1
        per_chunk = size * max(1, min(total // size, _CHUNK_BYTES // (row_bytes * size)))
        buffers = [np.empty((per_chunk, *a.shape[1:]), a.dtype) for a in arrays]
        # The engine's threads leave the rows in the caches of the cores that will read them.
        plain = [a.flags.c_contiguous and a.size > 0 and a.dtype.kind in "fiub" for a in arrays]
        full, last = self._full, self._last
        for chunk in range(0, total, per_chunk):
            rows = order[chunk : chunk + per_chunk]
            n = len(rows)
            for a, buffer, is_plain in zip(arrays, buffers, plain):
                if is_plain:
                    _engine.gather_rows(a, rows, buffer)
                    continue
                # mode="clip" lets NumPy write straight into the buffer; the indices are in range anyway.
                a.take(rows, axis=0, out=buffer[:n], mode="clip")
            for start in range(0, n, size):
                stop = start + size
                if stop <= n:
                    yield full, [b[start:stop] for b in buffers]
                else:
                    yield last, [b[start:n] for b in buffers]

    def _converted(self) -> Iterator[Batch]:
        order = np.random.permutation(self.num_samples) if self._shuffle is True else None
        for start in self._starts():
            stop = min(start + self.batch_size, self.num_samples)
            # Sorted, so that a file is read forwards; within a batch the order of samples does not matter.
            rows: Any = slice(start, stop) if order is None else np.sort(order[start:stop])
            batch = [
                np.ascontiguousarray(a[rows], dtype=cast or a.dtype)
                for a, cast in zip(self.arrays, self._casts)
            ]
            yield self._full if stop - start == self.batch_size else self._last, batch


class IterableAdapter(DataAdapter):
    """Batches from a generator, iterator or iterable: `x`, `(x, y)` or `(x, y, sample_weight)`.

    Args:
        source: the iterable.
        class_weight: weights by class to turn into sample weights, or None.
    """

    def __init__(self, source: Iterable[Any], class_weight: dict[int, float] | None = None) -> None:
        self._source = source
        self._class_weight = class_weight
        self.one_shot = hasattr(source, "__next__")
        self.num_batches = None if self.one_shot else _length(source)
        # Generators repeat the same few signatures: equal ones are the same object, so that the loop can
        # compare them by identity.
        self._signatures: dict[Any, Signature] = {}

    def batches(self) -> Iterator[Batch]:
        standardize = self.standardize
        for item in self._source:
            yield standardize(item)

    def standardize(self, item: Any) -> Batch:
        """Returns one yielded batch as checked, contiguous arrays."""
        if isinstance(item, list):
            item = tuple(item)
        if self._class_weight is not None:
            x, y, sample_weight = unpack_x_y_sample_weight(item)
            if sample_weight is not None:
                raise ValueError(
                    "`class_weight` was passed together with data that yields sample weights. Only one of "
                    "the two can be used: drop `class_weight`, or yield `(x, y)`."
                )
            if y is None:
                raise ValueError("`class_weight` was passed, but the data yields no targets. Yield `(x, y)`.")
            item = (x, y, class_weight_to_sample_weights(y, self._class_weight))
        leaves, treedef = optree.tree_flatten(item, namespace=NAMESPACE)
        if not all(type(leaf) is np.ndarray for leaf in leaves):
            # Not NumPy throughout: look again, with lists of numbers as arrays.
            leaves, treedef = flatten(item, is_batch=isinstance(item, tuple))
        arrays = []
        for leaf in leaves:
            array = as_array(leaf, "batch")
            cast = batch_dtype(array)
            if cast is not None:
                array = array.astype(cast)
            # Not ascontiguousarray, which makes scalars one-dimensional.
            arrays.append(array if array.flags.c_contiguous else array.copy())
        if not arrays:
            raise ValueError(
                f"The data yielded a batch without any array: {item!r}. Expected `x`, `(x, y)` or "
                "`(x, y, sample_weight)`."
            )
        key = (treedef, *[(a.shape, a.dtype) for a in arrays])
        signature = self._signatures.get(key)
        if signature is None:
            if len(self._signatures) >= 256:
                self._signatures.clear()
            signature = self._signatures[key] = Signature.of(treedef, arrays)
        return signature, arrays


class EpochStream:
    """Epochs over an adapter: passes over all its data, or `steps_per_epoch` batches at a time.

    Args:
        adapter: the source.
        steps_per_epoch: number of batches per epoch; None means a whole pass. Epochs shorter than a pass go
            on where the one before stopped.
    """

    def __init__(self, adapter: DataAdapter, steps_per_epoch: int | None = None) -> None:
        cap = config.max_steps_per_epoch()
        if cap is not None:
            steps_per_epoch = cap if steps_per_epoch is None else min(cap, steps_per_epoch)
        self.adapter = adapter
        self.steps_per_epoch = steps_per_epoch
        self._iterator: Iterator[Batch] | None = None
        self._started = False
        # Set when a one-shot source has nothing left for another epoch.
        self.exhausted = False

    @property
    def steps(self) -> int | None:
        """The number of batches of an epoch, None if unknown."""
        return self.steps_per_epoch if self.steps_per_epoch is not None else self.adapter.num_batches

    def epoch(self) -> Iterator[Batch]:
        """Yields the batches of the next epoch.

        Raises:
            ValueError: if the data yields nothing at all.
        """
        limit = self.steps_per_epoch
        count = 0
        if self._iterator is None:
            if self.exhausted:
                _warn_exhausted()
                return
            self._iterator = self.adapter.batches()
            fresh = True
        else:
            fresh = False
        while True:
            for batch in self._iterator:
                count += 1
                self._started = True
                yield batch
                if count == limit:
                    return
            self._iterator = None
            if count or fresh:
                break
            # The epoch before ended exactly at the end of the data.
            if self.adapter.one_shot:
                break
            self._iterator = self.adapter.batches()
            fresh = True
        if count == 0 and not self._started:
            raise ValueError(
                "The data yielded no batch at all. Expected at least one: when passing a Python generator, "
                "iterable or PyDataset, make sure it is not empty (or used up)."
            )
        self.exhausted = self.adapter.one_shot
        if (limit is not None and count < limit) or (count == 0 and self.exhausted):
            _warn_exhausted()

    def begin(self) -> None:
        """Tells the source that an epoch begins."""
        self.adapter.on_epoch_begin()

    def finish(self) -> None:
        """Tells the source that an epoch has ended."""
        self.adapter.on_epoch_end()

    def close(self) -> None:
        """Stops reading: ends threads and processes that read ahead."""
        iterator, self._iterator = self._iterator, None
        close: Callable[[], None] | None = getattr(iterator, "close", None)
        if close is not None:
            close()


def _warn_exhausted() -> None:
    warnings.warn(
        "Your input ran out of data; interrupting training. Make sure that your dataset or generator can "
        "generate at least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function "
        "when building your dataset.",
        stacklevel=5,
    )


def prefetched(
    function: Callable[[int], Any], indices: Iterable[int], executor: Any, ahead: int
) -> Iterator[Any]:
    """Yields `function(i)` for each index in order, computing `ahead` of them in advance."""
    pending: collections.deque[Any] = collections.deque()
    try:
        for i in indices:
            pending.append(executor.submit(function, i))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _length(source: Any) -> int | None:
    """The number of batches of an iterable, None if it does not say."""
    for attribute in ("num_batches", "cardinality"):
        value = getattr(source, attribute, None)
        if callable(value):
            value = value()
        if value is not None:
            # tf.data's convention: negative numbers stand for unknown and infinite.
            return int(value) if int(value) >= 0 else None
    try:
        return len(source)  # type: ignore[arg-type]
    except TypeError:
        return None
