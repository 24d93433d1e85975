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


# Batches that run ahead hold this many rows at most, or one batch.
_ROWS_AHEAD = 8192

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
        if self._shuffle == "batch":
            return self._sliced()
        return ArrayPass(
            self.arrays,
            (self._full, self._last),
            self.batch_size,
            np.random.permutation(self.num_samples) if self._shuffle is True else None,
        )

    def _starts(self) -> Iterable[int]:
        starts = range(0, self.num_samples, self.batch_size)
        if self._shuffle == "batch":
            # Only full batches move: the last one may be smaller.
            n_full = self.num_samples // self.batch_size
            order = np.random.permutation(n_full) * self.batch_size
            return [*order.tolist(), *starts[n_full:]]
        return starts

    def _sliced(self) -> Iterator[Batch]:
        size, total = self.batch_size, self.num_samples
        for start in self._starts():
            full = start + size <= total
            yield self._full if full else self._last, [a[start : start + size] for a in self.arrays]

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


class ArrayPass:
    """A pass over arrays in memory: an iterator of batches, which can also run ahead of its reader.

    Args:
        arrays: the arrays, contiguous, of equal length.
        signatures: those of a full batch and of the last one.
        size: number of samples per batch.
        order: the order of the samples, None for the order they are in. Rows are then gathered into buffers that
            are used again and again: a batch has been consumed when the next is asked for.
    """

    def __init__(
        self,
        arrays: list[np.ndarray],
        signatures: tuple[Signature, Signature],
        size: int,
        order: np.ndarray | None,
    ) -> None:
        self._arrays, self._signatures, self._size, self._order = arrays, signatures, size, order
        self._total = len(arrays[0])
        self._at = 0
        self._buffers: list[np.ndarray] = []
        if order is not None:
            self._buffers = [np.empty((size, *a.shape[1:]), a.dtype) for a in arrays]
        # The engine's threads leave the rows in the caches of the cores that will read them.
        self._plain = [a.size > 0 and a.dtype.kind in "fiub" for a in arrays]

    def __iter__(self) -> ArrayPass:
        return self

    def __next__(self) -> Batch:
        start, size = self._at, self._size
        if start >= self._total:
            raise StopIteration
        n = min(size, self._total - start)
        self._at = start + n
        signature = self._signatures[n < size]
        if self._order is None:
            return signature, [a[start : start + n] for a in self._arrays]
        rows = self._order[start : start + n]
        batch = []
        for a, buffer, plain in zip(self._arrays, self._buffers, self._plain):
            if plain:
                _engine.gather_rows(a, rows, buffer)
            else:
                # mode="clip" lets NumPy write straight into the buffer; the indices are in range anyway.
                a.take(rows, axis=0, out=buffer[:n], mode="clip")
            batch.append(buffer if n == size else buffer[:n])
        return signature, batch

    def run_ahead(
        self, signature: Signature, executable: Any, limit: int | None, seconds: float
    ) -> tuple[int, list[Any]]:
        """Runs the next full batches through a compiled step, within the engine.

        Args:
            signature: the one that the step was compiled for.
            executable: the compiled step.
            limit: number of batches at most, None if any.
            seconds: time after which no batch is begun.

        Returns:
            The number of batches that ran, and the outputs of the last one.
        """
        if signature is not self._signatures[0] or not all(self._plain):
            return 0, []
        # A few thousand rows at a time: their numbers are checked before the first one runs.
        n = min((self._total - self._at) // self._size, max(1, _ROWS_AHEAD // self._size))
        n = n if limit is None else min(n, limit)
        if n == 0:
            return 0, []
        count, outputs = _engine.run_ahead(
            executable, self._arrays, self._order, self._buffers, self._at, self._size, n, seconds
        )
        self._at += count * self._size
        return count, outputs


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

    def epoch(self) -> Epoch:
        """Returns the batches of the next epoch."""
        return Epoch(self)

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


class Epoch:
    """An iterator of the batches of one epoch.

    Args:
        stream: what it reads.

    Raises:
        ValueError: by `next`, if the data yields nothing at all.
    """

    def __init__(self, stream: EpochStream) -> None:
        self._stream = stream
        self._limit = stream.steps_per_epoch
        self._count = 0
        self._fresh = False  # whether a pass has begun in this epoch
        self._over = False

    def __iter__(self) -> Epoch:
        return self

    def __next__(self) -> Batch:
        stream = self._stream
        if self._over or self._count == self._limit:
            raise StopIteration
        if stream._iterator is None:
            if stream.exhausted:
                self._over = True
                _warn_exhausted()
                raise StopIteration
            self._begin_pass()
        batch = next(stream._iterator, None)  # type: ignore[arg-type]
        if batch is None and not (self._count or self._fresh or stream.adapter.one_shot):
            # The epoch before ended exactly at the end of the data.
            self._begin_pass()
            batch = next(stream._iterator, None)  # type: ignore[arg-type]
        if batch is None:
            self._end_pass()
            raise StopIteration
        self._count += 1
        stream._started = True
        return batch

    def _begin_pass(self) -> None:
        self._stream._iterator = self._stream.adapter.batches()
        self._fresh = True

    def _end_pass(self) -> None:
        stream, count, limit = self._stream, self._count, self._limit
        stream._iterator = None
        self._over = True
        if count == 0 and not stream._started:
            raise ValueError(
                "The data yielded no batch at all. Expected at least one: when passing a Python generator, "
                "iterable or PyDataset, make sure it is not empty (or used up)."
            )
        stream.exhausted = stream.adapter.one_shot
        if (limit is not None and count < limit) or (count == 0 and stream.exhausted):
            _warn_exhausted()

    def run_ahead(self, signature: Signature, executable: Any, seconds: float) -> tuple[int, list[Any]]:
        """Runs the next batches of the epoch within the engine if the data allows; see `ArrayPass.run_ahead`."""
        source = self._stream._iterator
        if not isinstance(source, ArrayPass):
            return 0, []
        left = None if self._limit is None else self._limit - self._count
        count, outputs = source.run_ahead(signature, executable, left, seconds)
        self._count += count
        return count, outputs


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
