"""The methods of Dataset that return another one, made of its elements."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastkeras.data import batching, checks, selection, transforms
from fastkeras.data.constants import AUTOTUNE
from fastkeras.data.node import Node
from fastkeras.data.options import Options
from fastkeras.data.prefetching import Prefetch
from fastkeras.data.structure import HasNode

if TYPE_CHECKING:
    from fastkeras.data.dataset import Dataset

# Datasets that `interleave` reads in turn if nothing is said: the same number, hence the same order, everywhere.
_CYCLE_LENGTH = 8


class Chainable(HasNode):
    """The transformations of a dataset. `name` is accepted by all of them, as in tf.data, and means nothing."""

    _options: Options | None

    def _derive(self, node: Node, options: Options | None = None) -> Dataset:
        from fastkeras.data.dataset import Dataset

        return Dataset(node, self._options if options is None else options)

    # Users' functions.

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of what a function makes of each element.

        Args:
            map_func: called with engine tensors, the members of a tuple as separate arguments; returns tensors,
                arrays, numbers, or tuples and dicts of them.
            num_parallel_calls: number of threads that call it. They help where it waits for files or spends its
                time in code that releases Python's lock. AUTOTUNE uses one thread per processor, once calls
                have turned out to take long enough for threads to help.
            deterministic: False lets threads hand out results as they become ready.
            synchronous: accepted for compatibility.
            use_unbounded_threadpool: accepted for compatibility.
            name: unused.

        Raises:
            TypeError: if `map_func` is no function.

        Example:
            >>> list(Dataset.range(3).map(lambda x: x * 2).as_numpy_iterator())
            [0, 2, 4]
        """
        checks.function("map_func", map_func)
        calls = checks.parallel_calls(num_parallel_calls)
        return self._derive(transforms.Map(self._node, map_func, calls, deterministic))

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """Returns a dataset of the elements for which `predicate` is true.

        Args:
            predicate: called as in `map`; returns a boolean scalar.
            name: unused.

        Raises:
            TypeError: if `predicate` is no function.

        Example:
            >>> list(Dataset.range(5).filter(lambda x: x % 2 == 0).as_numpy_iterator())
            [0, 2, 4]
        """
        checks.function("predicate", predicate)
        return self._derive(transforms.Filter(self._node, predicate))

    def flat_map(self, map_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """Returns the elements of the datasets that a function makes of each element, one after the other.

        Args:
            map_func: called as in `map`; returns a Dataset.
            name: unused.

        Raises:
            TypeError: if `map_func` is no function.

        Example:
            >>> rows = Dataset.from_tensor_slices([[1, 2], [3, 4]])
            >>> list(rows.flat_map(Dataset.from_tensor_slices).as_numpy_iterator())
            [1, 2, 3, 4]
        """
        checks.function("map_func", map_func)
        return self._derive(transforms.Interleave(self._node, map_func))

    def interleave(
        self,
        map_func: Callable[..., Any],
        cycle_length: int | None = None,
        block_length: int | None = None,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Returns the elements of the datasets that a function makes of each element, several in turn.

        Args:
            map_func: called as in `map`; returns a Dataset.
            cycle_length: number of datasets read in turn, default 8.
            block_length: number of elements taken from one at a time, default 1.
            num_parallel_calls: number of threads that read them ahead of time.
            deterministic: accepted for compatibility; the order is always kept.
            name: unused.

        Raises:
            TypeError: if `map_func` is no function.
            ValueError: if a number is not positive.

        Example:
            >>> dataset = Dataset.range(2).interleave(lambda x: Dataset.from_tensors(x).repeat(3))
            >>> list(dataset.as_numpy_iterator())
            [0, 1, 0, 1, 0, 1]
        """
        checks.function("map_func", map_func)
        cycle = _CYCLE_LENGTH if cycle_length in (None, AUTOTUNE) else cycle_length
        return self._derive(
            transforms.Interleave(
                self._node,
                map_func,
                checks.integer("cycle_length", cycle, 1),
                checks.integer("block_length", 1 if block_length is None else block_length, 1),
                checks.parallel_calls(num_parallel_calls),
            )
        )

    def scan(self, initial_state: Any, scan_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """Returns a dataset of what a function makes of each element and of a state it carries on.

        Args:
            initial_state: nested tensors.
            scan_func: called with (state, element); returns (new_state, output).
            name: unused.

        Raises:
            TypeError: if `scan_func` is no function.

        Example:
            >>> sums = Dataset.range(4).scan(0, lambda total, x: (total + x, total + x))
            >>> list(sums.as_numpy_iterator())
            [0, 1, 3, 6]
        """
        checks.function("scan_func", scan_func)
        return self._derive(transforms.Scan(self._node, initial_state, scan_func))

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """Returns a dataset of the elements before the first for which `predicate` is false.

        Args:
            predicate: called as in `map`; returns a boolean scalar.
            name: unused.

        Raises:
            TypeError: if `predicate` is no function.

        Example:
            >>> list(Dataset.range(9).take_while(lambda x: x < 2).as_numpy_iterator())
            [0, 1]
        """
        checks.function("predicate", predicate)
        return self._derive(transforms.TakeWhile(self._node, predicate))

    def apply(self, transformation_func: Callable[[Any], Any]) -> Dataset:
        """Returns what a function makes of this dataset.

        Args:
            transformation_func: from a Dataset to a Dataset.

        Raises:
            TypeError: if it returns something else.

        Example:
            >>> dataset = dataset.apply(lambda d: d.shuffle(100).batch(32))
        """
        result = transformation_func(self)
        if not isinstance(result, HasNode):
            raise TypeError(
                f"The function given to `apply` returned {type(result).__name__}. Expected a Dataset. Return the "
                "transformed dataset; to transform single elements, use `map`."
            )
        return result  # type: ignore[return-value]

    # Choosing and ordering.

    def shuffle(
        self,
        buffer_size: int,
        seed: int | None = None,
        reshuffle_each_iteration: bool = True,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of the elements in random order.

        Args:
            buffer_size: number of elements to draw from; at least the size of the dataset for a uniform shuffle.
                Over arrays (`from_tensor_slices`) a large buffer costs nothing, as only row numbers are moved.
            seed: fixes the orders. By default they follow `set_random_seed`.
            reshuffle_each_iteration: whether each pass has an order of its own.
            name: unused.

        Raises:
            ValueError: if `buffer_size` is not positive.

        Example:
            >>> sorted(Dataset.range(4).shuffle(4).as_numpy_iterator())
            [0, 1, 2, 3]
        """
        size = checks.integer("buffer_size", buffer_size, 1)
        if seed is not None:
            seed = checks.integer("seed", seed)
        reshuffles = reshuffle_each_iteration is None or bool(reshuffle_each_iteration)
        return self._derive(selection.Shuffle(self._node, size, seed, reshuffles))

    def repeat(self, count: int | None = None, name: str | None = None) -> Dataset:
        """Returns a dataset that goes over this one `count` times.

        Args:
            count: number of passes; None or -1 goes on without end.
            name: unused.

        Raises:
            ValueError: if it is another negative number.

        Example:
            >>> list(Dataset.range(2).repeat(2).as_numpy_iterator())
            [0, 1, 0, 1]
        """
        n = checks.integer("count", -1 if count is None else count, 0, special=-1)
        return self._derive(selection.Repeat(self._node, n))

    def take(self, count: int, name: str | None = None) -> Dataset:
        """Returns a dataset of the first `count` elements; -1 takes all.

        Raises:
            ValueError: if it is another negative number.

        Example:
            >>> list(Dataset.range(9).take(2).as_numpy_iterator())
            [0, 1]
        """
        n = checks.integer("count", count, 0, special=-1)
        return self._derive(self._node if n < 0 else selection.Take(self._node, n))

    def skip(self, count: int, name: str | None = None) -> Dataset:
        """Returns a dataset without the first `count` elements; -1 skips all.

        Raises:
            ValueError: if it is another negative number.

        Example:
            >>> list(Dataset.range(4).skip(2).as_numpy_iterator())
            [2, 3]
        """
        n = checks.integer("count", count, 0, special=-1)
        return self._derive(selection.Skip(self._node, n))

    def shard(self, num_shards: int, index: int, name: str | None = None) -> Dataset:
        """Returns a dataset of every `num_shards`-th element, from element `index` on.

        Raises:
            ValueError: if `index` is not from 0 to `num_shards` - 1.

        Example:
            >>> list(Dataset.range(6).shard(3, 1).as_numpy_iterator())
            [1, 4]
        """
        shards = checks.integer("num_shards", num_shards, 1)
        first = checks.integer("index", index, 0)
        if first >= shards:
            raise ValueError(
                f"`index` must be less than `num_shards`. Received: num_shards={shards}, index={first}. Pass a "
                f"number from 0 to {shards - 1}."
            )
        return self._derive(selection.Shard(self._node, shards, first))

    def unique(self, name: str | None = None) -> Dataset:
        """Returns a dataset of the elements that have not been there before.

        Example:
            >>> list(Dataset.from_tensor_slices([1, 2, 1]).unique().as_numpy_iterator())
            [1, 2]
        """
        return self._derive(transforms.Unique(self._node))

    def cache(self, filename: str | os.PathLike[str] = "", name: str | None = None) -> Dataset:
        """Returns a dataset that keeps the elements once one pass has seen all of them.

        Args:
            filename: path of a file (`.npz` is added) that keeps them also for other runs of the program; it is
                read if it exists. Memory, if empty. A file holds numbers and text in tuples and dicts, and no
                pickled objects.
            name: unused.

        Example:
            >>> dataset = dataset.map(decode_image).cache().shuffle(1000).batch(32)
        """
        path = os.fspath(filename)
        if not path:
            return self._derive(selection.Cache(self._node))
        # It needs zipfile, whose import would be most of the price of importing this package.
        from fastkeras.data.file_cache import FileCache

        return self._derive(FileCache(self._node, path))

    # Batches and groups.

    def batch(
        self,
        batch_size: int,
        drop_remainder: bool = False,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of stacks of `batch_size` elements.

        Args:
            batch_size: number of elements in a batch.
            drop_remainder: whether to leave out a last batch that is smaller.
            num_parallel_calls: number of threads that stack.
            deterministic: accepted for compatibility; the order is always kept.
            name: unused.

        Raises:
            ValueError: if `batch_size` is not positive.

        Example:
            >>> list(Dataset.range(5).batch(2).as_numpy_iterator())
            [array([0, 1]), array([2, 3]), array([4])]
        """
        size = checks.integer("batch_size", batch_size, 1)
        calls = checks.parallel_calls(num_parallel_calls)
        return self._derive(batching.Batch(self._node, size, bool(drop_remainder), calls))

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of stacks of elements that are padded to a common shape.

        Args:
            batch_size: number of elements in a batch.
            padded_shapes: shapes nested like the elements; None or -1 pads an axis to the longest in the batch.
            padding_values: values nested like the elements, or one for all; default 0 and the empty text.
            drop_remainder: whether to leave out a last batch that is smaller.
            name: unused.

        Raises:
            ValueError: if `batch_size` is not positive.

        Example:
            >>> dataset = Dataset.range(1, 4).map(lambda x: ops.full((int(x),), x))
            >>> next(dataset.padded_batch(3).as_numpy_iterator())
            array([[1, 0, 0], [2, 2, 0], [3, 3, 3]])
        """
        size = checks.integer("batch_size", batch_size, 1)
        node = batching.PaddedBatch(self._node, size, padded_shapes, padding_values, bool(drop_remainder))
        return self._derive(node)

    def unbatch(self, name: str | None = None) -> Dataset:
        """Returns a dataset of the rows of the elements.

        Example:
            >>> list(Dataset.from_tensors([1, 2]).unbatch().as_numpy_iterator())
            [1, 2]
        """
        return self._derive(batching.Unbatch(self._node))

    def rebatch(self, batch_size: int, drop_remainder: bool = False, name: str | None = None) -> Dataset:
        """Returns a dataset of the same rows in batches of another size.

        Args:
            batch_size: number of rows in a batch.
            drop_remainder: whether to leave out a last batch that is smaller.
            name: unused.

        Raises:
            ValueError: if `batch_size` is not positive.

        Example:
            >>> list(Dataset.range(4).batch(3).rebatch(2).as_numpy_iterator())
            [array([0, 1]), array([2, 3])]
        """
        size = checks.integer("batch_size", batch_size, 1)
        return self._derive(batching.Rebatch(self._node, size, bool(drop_remainder)))

    def window(
        self,
        size: int,
        shift: int | None = None,
        stride: int = 1,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of windows; each is a dataset, or a nest of them if the elements are nested.

        Args:
            size: number of elements in a window.
            shift: how far each window begins after the one before, default `size`.
            stride: distance between the elements of a window.
            drop_remainder: whether to leave out last windows that are smaller.
            name: unused.

        Raises:
            ValueError: if a number is not positive.

        Example:
            >>> windows = Dataset.range(4).window(2, shift=1, drop_remainder=True)
            >>> list(windows.flat_map(lambda w: w.batch(2)).as_numpy_iterator())
            [array([0, 1]), array([1, 2]), array([2, 3])]
        """
        n = checks.integer("size", size, 1)
        shift = n if shift is None else checks.integer("shift", shift, 1)
        stride = checks.integer("stride", stride, 1)
        return self._derive(batching.Window(self._node, n, shift, stride, bool(drop_remainder)))

    def group_by_window(
        self,
        key_func: Callable[..., Any],
        reduce_func: Callable[..., Any],
        window_size: int | None = None,
        window_size_func: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Returns the elements of the datasets that a function makes of groups with the same key.

        Args:
            key_func: called as in `map`; returns an integer.
            reduce_func: called with a key and the Dataset of a group; returns a Dataset.
            window_size: number of elements in a group; the last of each key may be smaller.
            window_size_func: from a key to that number, in its place.
            name: unused.

        Raises:
            ValueError: unless one of `window_size` and `window_size_func` is given.

        Example:
            >>> pairs = Dataset.range(6).group_by_window(lambda x: x % 2, lambda key, w: w.batch(3), 3)
            >>> list(pairs.as_numpy_iterator())
            [array([0, 2, 4]), array([1, 3, 5])]
        """
        checks.function("key_func", key_func)
        checks.function("reduce_func", reduce_func)
        if (window_size is None) == (window_size_func is None):
            raise ValueError(
                "group_by_window takes one of `window_size` and `window_size_func`. Received: "
                f"window_size={window_size!r}, window_size_func={window_size_func!r}. Pass exactly one."
            )
        if window_size_func is None:
            size = checks.integer("window_size", window_size, 1)
            sizes: Callable[[int], int] = lambda key: size  # noqa: E731
        else:
            given = window_size_func
            sizes = lambda key: checks.integer("window_size", given(key), 1)  # noqa: E731
        return self._derive(transforms.GroupByWindow(self._node, key_func, reduce_func, sizes))

    def bucket_by_sequence_length(
        self,
        element_length_func: Callable[..., Any],
        bucket_boundaries: Sequence[int],
        bucket_batch_sizes: Sequence[int],
        padded_shapes: Any = None,
        padding_values: Any = None,
        pad_to_bucket_boundary: bool = False,
        no_padding: bool = False,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of padded batches of elements of similar length.

        Args:
            element_length_func: called as in `map`; returns the length of an element.
            bucket_boundaries: lengths at which the next bucket begins.
            bucket_batch_sizes: batch sizes of the buckets, one more than there are boundaries.
            padded_shapes: as in `padded_batch`.
            padding_values: as in `padded_batch`.
            pad_to_bucket_boundary: whether to pad axes of unknown length to one less than the boundary.
            no_padding: whether elements of a bucket have equal shapes already.
            drop_remainder: whether to leave out last batches that are smaller.
            name: unused.

        Raises:
            ValueError: if the numbers of boundaries and batch sizes do not fit.

        Example:
            >>> batches = texts.bucket_by_sequence_length(lambda x: x.shape[0], [10, 50], [64, 32, 8])
        """
        from fastkeras.data.bucketing import bucket_by_sequence_length

        return bucket_by_sequence_length(
            self,  # type: ignore[arg-type]
            element_length_func,
            bucket_boundaries,
            bucket_batch_sizes,
            padded_shapes,
            padding_values,
            pad_to_bucket_boundary,
            no_padding,
            drop_remainder,
        )

    # The rest.

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """Returns a dataset of the elements of this one, then those of another.

        Raises:
            TypeError: if `dataset` is no Dataset.

        Example:
            >>> list(Dataset.range(2).concatenate(Dataset.range(5, 7)).as_numpy_iterator())
            [0, 1, 5, 6]
        """
        checks.dataset("dataset", dataset)
        return self._derive(transforms.Concatenate([self._node, dataset._node]))

    def enumerate(self, start: int = 0, name: str | None = None) -> Dataset:
        """Returns a dataset of pairs of a number, counted from `start`, and an element.

        Example:
            >>> list(Dataset.from_tensor_slices([7, 8]).enumerate(5).as_numpy_iterator())
            [(5, 7), (6, 8)]
        """
        return self._derive(transforms.Enumerate(self._node, checks.integer("start", start)))

    def prefetch(self, buffer_size: int, name: str | None = None) -> Dataset:
        """Returns a dataset whose elements are made ahead of time by a thread.

        Args:
            buffer_size: number of elements to hold; 0 for none. AUTOTUNE holds a few, once making an element has
                turned out to take long enough for a thread to help.
            name: unused.

        Raises:
            ValueError: if it is another negative number.

        Example:
            >>> dataset = dataset.map(load).batch(32).prefetch(AUTOTUNE)
        """
        size = checks.integer("buffer_size", buffer_size, 0, AUTOTUNE)
        return self._derive(Prefetch(self._node, size))

    def with_options(self, options: Options, name: str | None = None) -> Dataset:
        """Returns this dataset with options; those set already stay unless they are set anew.

        Raises:
            TypeError: if `options` is no Options.

        Example:
            >>> options = Options()
            >>> options.deterministic = False
            >>> dataset = dataset.with_options(options)
        """
        if not isinstance(options, Options):
            raise TypeError(
                f"`options` must be an Options. Received: {options!r} of type {type(options).__name__}. Create one "
                "with fastkeras.data.Options()."
            )
        return self._derive(self._node, (self._options or Options()).merge(options))
