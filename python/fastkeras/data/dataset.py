"""Dataset: the input pipeline, a chainable re-implementation of the commonly used part of `tf.data.Dataset`.

A Dataset describes; nothing runs until it is iterated, and every iteration starts anew. Elements are NumPy arrays
inside and engine tensors where users see them.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastkeras.data import checks, sources, transforms
from fastkeras.data.chaining import Chainable
from fastkeras.data.constants import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.dtypes import dtype_name
from fastkeras.data.element_spec import tensor_spec
from fastkeras.data.node import Node, Run
from fastkeras.data.options import Options
from fastkeras.data.structure import (
    as_array,
    as_element,
    call_on_state,
    flatten,
    map_structure,
    to_numpy,
    to_user,
)


class DatasetIterator:
    """One pass over a dataset. Threads that work for it end with it.

    Args:
        elements: a generator of elements.
    """

    def __init__(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def __iter__(self) -> DatasetIterator:
        return self

    def __next__(self) -> Any:
        return next(self._elements)

    def get_next(self) -> Any:
        """Returns the next element.

        Raises:
            StopIteration: if there is none.
        """
        return next(self._elements)

    def close(self) -> None:
        """Ends the pass, and the threads that work for it."""
        self._elements.close()  # type: ignore[attr-defined]


class Dataset(Chainable):
    """A sequence of elements (tensors, nested in tuples and dicts), made by a source and transformations.

    Datasets are made by the static methods, such as `Dataset.from_tensor_slices(arrays)`.

    Args:
        node: the step that makes the elements.
        options: settings, or None.

    Example:
        >>> dataset = Dataset.from_tensor_slices((images, labels)).shuffle(60000).batch(128)
        >>> model.fit(dataset, epochs=5)
    """

    def __init__(self, node: Node, options: Options | None = None) -> None:
        if not isinstance(node, Node):
            raise TypeError(
                f"A Dataset is not made of {type(node).__name__} directly. Expected one of its static methods. Use "
                "Dataset.from_tensor_slices(arrays) or Dataset.from_generator(function, output_signature=...)."
            )
        self._node = node
        self._options = options

    # Sources.

    @staticmethod
    def from_tensor_slices(tensors: Any, name: str | None = None) -> Dataset:
        """Returns a dataset of the rows of arrays.

        Args:
            tensors: arrays of equal length, nested in tuples and dicts. They are not copied: leave them unchanged
                as long as the dataset is in use.
            name: unused.

        Raises:
            ValueError: if their lengths differ, or one is a scalar.

        Example:
            >>> list(Dataset.from_tensor_slices(([1, 2], [3, 4])).as_numpy_iterator())
            [(1, 3), (2, 4)]
        """
        return Dataset(sources.Slices(tensors))

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """Returns a dataset of one element.

        Args:
            tensors: arrays, nested in tuples and dicts.
            name: unused.

        Example:
            >>> list(Dataset.from_tensors([1, 2]).as_numpy_iterator())
            [array([1, 2], dtype=int32)]
        """
        return Dataset(sources.Single(tensors))

    @staticmethod
    def from_generator(
        generator: Callable[..., Any],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Sequence[Any] | None = None,
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """Returns a dataset of what a Python generator yields.

        Args:
            generator: a function that returns an iterable; it is called at the beginning of each pass.
            output_types: types, nested like what is yielded; an older form of `output_signature`.
            output_shapes: shapes, nested in the same way, default any.
            args: arguments for the function; it gets NumPy arrays.
            output_signature: TensorSpecs, nested like what is yielded.
            name: unused.

        Raises:
            TypeError: if `generator` is no function, or there is neither a signature nor types.
            ValueError: if there are both.

        Example:
            >>> def count(stop):
            ...     for i in range(stop):
            ...         yield i, [i] * i
            >>> signature = TensorSpec((), "int32"), TensorSpec((None,), "int32")
            >>> dataset = Dataset.from_generator(count, args=(10,), output_signature=signature)
        """
        checks.function("generator", generator)
        if output_signature is None:
            if output_types is None:
                raise TypeError(
                    "from_generator got neither `output_signature` nor `output_types`. Expected one of them, as a "
                    "generator does not say what it yields. Pass e.g. "
                    "output_signature=TensorSpec((None,), 'float32')."
                )
            output_signature = _signature(output_types, output_shapes)
        elif output_types is not None or output_shapes is not None:
            raise ValueError(
                f"from_generator got output_signature={output_signature!r} together with `output_types` or "
                "`output_shapes`. Expected only one way of saying what is yielded. Drop the latter."
            )
        leaves = flatten(output_signature)[0]
        if not leaves or not all(_is_spec(s) for s in leaves):
            raise TypeError(
                f"`output_signature` must hold TensorSpecs. Received: {output_signature!r}. Pass e.g. "
                "(TensorSpec((28, 28), 'float32'), TensorSpec((), 'int32'))."
            )
        signature = map_structure(lambda s: tensor_spec(s.shape, s.dtype, s.name), output_signature)
        values = tuple(a if a.ndim else a[()] for a in map(as_array, args or ()))
        return Dataset(sources.Generator(generator, signature, values))

    @staticmethod
    def range(*args: Any, output_type: Any = "int64", name: str | None = None) -> Dataset:
        """Returns a dataset of the numbers of a range, with arguments like those of Python's `range`.

        Args:
            *args: stop; or start and stop; or start, stop and step.
            output_type: the type of the numbers.
            name: unused.

        Raises:
            TypeError: for other arguments.

        Example:
            >>> list(Dataset.range(5, 1, -2).as_numpy_iterator())
            [5, 3]
        """
        numbers = range(*[checks.integer("range", a) for a in args])
        return Dataset(sources.Range(numbers, dtype_name(output_type)))

    @staticmethod
    def random(
        seed: int | None = None, rerandomize_each_iteration: bool | None = None, name: str | None = None
    ) -> Dataset:
        """Returns a dataset of random int64 numbers from 0 to 2**32 - 1, without end.

        Args:
            seed: fixes the numbers.
            rerandomize_each_iteration: whether each pass has numbers of its own.
            name: unused.

        Example:
            >>> list(Dataset.random(seed=4).take(10).as_numpy_iterator())
        """
        return Dataset(sources.Random(seed, bool(rerandomize_each_iteration)))

    @staticmethod
    def list_files(
        file_pattern: Any, shuffle: bool | None = None, seed: int | None = None, name: str | None = None
    ) -> Dataset:
        """Returns a dataset of the names of files that match patterns.

        Args:
            file_pattern: a pattern with `*`, `?` and `[...]`, or a list of them.
            shuffle: whether each pass has a random order, default True.
            seed: fixes the orders.
            name: unused.

        Raises:
            FileNotFoundError: if no file matches.

        Example:
            >>> images = Dataset.list_files("photos/*.jpg", shuffle=False).map(read_image)
        """
        patterns = (
            [file_pattern] if isinstance(file_pattern, (str, bytes, os.PathLike)) else list(file_pattern)
        )
        names = {os.fsdecode(found) for pattern in patterns for found in glob.glob(os.fspath(pattern))}
        if not names:
            raise FileNotFoundError(
                f"No file matches {file_pattern!r} in {os.getcwd()}. Expected at least one. Check the pattern; `**` "
                "is not searched recursively."
            )
        files = Dataset.from_tensor_slices(np.array(sorted(names)))
        return files if shuffle is not None and not shuffle else files.shuffle(len(names), seed)

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: str | None = None) -> Dataset:
        """Returns a dataset of elements of several datasets side by side; it ends with the shortest.

        Args:
            *args: datasets, or one nest (tuple or dict) of them.
            datasets: the same nest, by name.
            name: unused.

        Raises:
            TypeError: if something is no Dataset.

        Example:
            >>> list(Dataset.zip(Dataset.range(2), Dataset.range(5, 9)).as_numpy_iterator())
            [(0, 5), (1, 6)]
        """
        if (datasets is None) == (not args):
            raise TypeError(
                f"Dataset.zip got {len(args)} positional arguments and datasets={datasets!r}. Expected datasets in "
                "one of these ways. Pass e.g. Dataset.zip(images, labels)."
            )
        nest = args[0] if len(args) == 1 else args or datasets
        leaves, treedef = flatten(nest)
        if not leaves or not all(isinstance(d, Dataset) for d in leaves):
            raise TypeError(
                f"Dataset.zip got {nest!r}. Expected datasets nested in tuples and dicts (a list does not count as "
                "a nest). Wrap arrays in Dataset.from_tensor_slices, and turn lists into tuples."
            )
        return Dataset(_zipped([d._node for d in leaves], treedef), _merged_options(leaves))

    @staticmethod
    def choose_from_datasets(
        datasets: Sequence[Dataset], choice_dataset: Dataset, stop_on_empty_dataset: bool = True
    ) -> Dataset:
        """Returns a dataset of elements taken from several, as a dataset of their numbers says.

        Args:
            datasets: datasets of elements that are alike.
            choice_dataset: a dataset of scalar integers, the indices of datasets.
            stop_on_empty_dataset: whether to stop when a chosen dataset has ended; it is passed over otherwise.

        Raises:
            TypeError: if something is no Dataset.
            ValueError: if there are no datasets.

        Example:
            >>> parts = [Dataset.from_tensors(i).repeat() for i in (7, 8)]
            >>> list(Dataset.choose_from_datasets(parts, Dataset.range(2).repeat(2)).as_numpy_iterator())
            [7, 8, 7, 8]
        """
        nodes = _nodes(datasets)
        checks.dataset("choice_dataset", choice_dataset)
        node = transforms.Choose(nodes, choice_dataset._node, bool(stop_on_empty_dataset))
        return Dataset(node, _merged_options(datasets))

    @staticmethod
    def sample_from_datasets(
        datasets: Sequence[Dataset],
        weights: Any = None,
        seed: int | None = None,
        stop_on_empty_dataset: bool = False,
        rerandomize_each_iteration: bool | None = None,
    ) -> Dataset:
        """Returns a dataset of elements drawn at random from several.

        Args:
            datasets: datasets of elements that are alike.
            weights: how often to draw from each, one number per dataset, or a dataset of such lists; default
                equally often.
            seed: fixes the order.
            stop_on_empty_dataset: whether to stop when a drawn dataset has ended; the others go on otherwise.
            rerandomize_each_iteration: whether each pass has an order of its own.

        Raises:
            TypeError: if something is no Dataset.
            ValueError: if there are no datasets, or the weights do not fit.

        Example:
            >>> mixed = Dataset.sample_from_datasets([common, rare], weights=[0.9, 0.1])
        """
        nodes = _nodes(datasets)
        if isinstance(weights, Dataset):
            shares: Any = weights._node
        elif weights is None:
            shares = None
        else:
            given = as_array(weights).astype(float)
            if given.shape != (len(nodes),) or (given < 0).any() or not 0 < given.sum() < np.inf:
                raise ValueError(
                    f"`weights` must be {len(nodes)} non-negative numbers, one for each dataset, that are not all "
                    f"zero. Received: weights={weights!r}. Pass e.g. {[1.0] * len(nodes)}."
                )
            nodes = [node for node, share in zip(nodes, given) if share > 0]
            shares = given[given > 0].tolist()
        rerandomizes = bool(rerandomize_each_iteration)
        node = transforms.Sample(nodes, shares, seed, bool(stop_on_empty_dataset), rerandomizes)
        return Dataset(node, _merged_options(datasets))

    # Reading.

    def _iterate(self, convert: Callable[[Any], Any] | None = None) -> Iterator[Any]:
        run = Run(self._options)
        try:
            elements = self._node.elements(run)
            yield from elements if convert is None else map(convert, elements)
        finally:
            run.close()

    def _numpy_batches(self) -> Iterator[Any]:
        """Starts a pass; yields elements as they flow inside: nested arrays, not to be written to."""
        return self._iterate()

    def __iter__(self) -> DatasetIterator:
        """Starts a pass; yields elements as engine tensors, nested in tuples and dicts."""
        return DatasetIterator(self._iterate(to_user))

    def as_numpy_iterator(self) -> DatasetIterator:
        """Starts a pass; yields elements as NumPy arrays and scalars, nested in tuples and dicts.

        Example:
            >>> list(Dataset.range(3).as_numpy_iterator())
            [0, 1, 2]
        """
        return DatasetIterator(self._iterate(to_numpy))

    def reduce(self, initial_state: Any, reduce_func: Callable[..., Any], name: str | None = None) -> Any:
        """Returns what a function makes of all elements, one after the other.

        Args:
            initial_state: nested tensors.
            reduce_func: called with (state, element); returns the new state.
            name: unused.

        Raises:
            TypeError: if `reduce_func` is no function.

        Example:
            >>> int(Dataset.range(5).reduce(0, lambda total, x: total + x))
            10
        """
        checks.function("reduce_func", reduce_func)
        state = as_element(initial_state)
        for element in self._iterate():
            state = as_element(call_on_state(reduce_func, state, element))
        return to_user(state)

    def get_single_element(self, name: str | None = None) -> Any:
        """Returns the only element.

        Raises:
            ValueError: if there is none, or more than one.

        Example:
            >>> everything = dataset.batch(len(dataset)).get_single_element()
        """
        found = [element for _, element in zip(range(2), self)]
        if len(found) != 1:
            raise ValueError(
                f"get_single_element was called on a dataset that has {'no' if not found else 'more than one'} "
                "element. Expected exactly one. Batch the dataset first, or iterate it."
            )
        return found[0]

    def cardinality(self) -> int:
        """Returns the number of elements, INFINITE_CARDINALITY (-1) or UNKNOWN_CARDINALITY (-2).

        Example:
            >>> Dataset.range(5).batch(2).cardinality()
            3
        """
        return self._node.cardinality()

    def __len__(self) -> int:
        n = self.cardinality()
        if n == INFINITE_CARDINALITY:
            raise TypeError(
                "len() of a dataset that is infinite. Expected an end. Limit it, e.g. with `.take(n)`."
            )
        if n == UNKNOWN_CARDINALITY:
            raise TypeError(
                "len() of a dataset whose length is unknown: steps such as `filter` do not say how many elements "
                "they yield. Expected a known one. Iterate it, or use experimental.assert_cardinality."
            )
        return n

    def __bool__(self) -> bool:
        # A dataset is something, whether it has elements or not.
        return True

    @property
    def element_spec(self) -> Any:
        """The TensorSpecs of the elements, nested like them.

        What a function makes is told by calling it on the first elements, once. Axes are unknown (None) where these
        differ, or where they follow an unknown axis of the input.

        Example:
            >>> Dataset.range(5).batch(2).element_spec
            TensorSpec(shape=(None,), dtype='int64', name=None)
        """
        return self._node.spec()

    def options(self) -> Options:
        """Returns the options of this dataset."""
        return (self._options or Options()).merge(Options())

    def __repr__(self) -> str:
        n = self.cardinality()
        names = {INFINITE_CARDINALITY: "infinite", UNKNOWN_CARDINALITY: "unknown"}
        return f"<Dataset {self._node.label}, cardinality={names.get(n, n)}>"


def _is_spec(spec: Any) -> bool:
    # A TensorSpec of another library does as well.
    return all(hasattr(spec, name) for name in ("shape", "dtype", "name"))


def _signature(types: Any, shapes: Any) -> Any:
    leaves, treedef = flatten(types)
    if shapes is None:
        return treedef.unflatten([tensor_spec(None, dtype) for dtype in leaves])
    try:
        return treedef.unflatten(
            [tensor_spec(shape, dtype) for shape, dtype in zip(treedef.flatten_up_to(shapes), leaves)]
        )
    except ValueError as error:
        raise ValueError(
            f"`output_shapes` does not fit `output_types`: {error}. Received: output_shapes={shapes!r}, "
            f"output_types={types!r}. Expected the same nest of both. Use `output_signature`, which holds both."
        ) from error


def _zipped(nodes: list[Node], treedef: Any) -> Node:
    if all(isinstance(node, sources.Slices) for node in nodes):
        # Rows of arrays side by side are rows of all these arrays.
        return sources.Slices.side_by_side(nodes, treedef)  # type: ignore[arg-type]
    return transforms.Zip(nodes, treedef)


def _nodes(datasets: Sequence[Dataset]) -> list[Node]:
    datasets = list(datasets)
    if not datasets:
        raise ValueError("`datasets` is empty. Expected at least one Dataset. Pass a list of them.")
    for dataset in datasets:
        checks.dataset("datasets", dataset)
    return [dataset._node for dataset in datasets]


def _merged_options(datasets: Sequence[Dataset]) -> Options | None:
    merged = None
    for dataset in datasets:
        if dataset._options is not None:
            merged = dataset._options if merged is None else merged.merge(dataset._options)
    return merged
