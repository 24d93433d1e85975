"""Sources: nodes that make elements from arrays, numbers and generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastkeras.data.constants import INFINITE_CARDINALITY
from fastkeras.data.dtypes import numpy_dtype
from fastkeras.data.element_spec import TensorSpec, shapes_agree, spec_of, tensor_spec
from fastkeras.data.node import Chunk, Element, Node, Run, Table
from fastkeras.data.selection import seed_or_random
from fastkeras.data.structure import as_array, flatten, frozen, map_structure


class Slices(Node):
    """The rows of arrays.

    Args:
        tensors: nested arrays of equal length.

    Raises:
        ValueError: if there are none, or their lengths differ.
    """

    def __init__(self, tensors: Any) -> None:
        leaves, treedef = flatten(frozen(map_structure(as_array, tensors)))
        if not leaves:
            raise ValueError(
                f"from_tensor_slices got no arrays: {tensors!r}. Expected at least one, nested in tuples or dicts."
            )
        scalars = [a for a in leaves if not a.ndim]
        if scalars:
            raise ValueError(
                f"from_tensor_slices got the scalar {scalars[0]!r}. Expected arrays with at least one axis, which "
                "is the one to slice. Use from_tensors for a single element."
            )
        lengths = [len(a) for a in leaves]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"from_tensor_slices got arrays of different lengths: {lengths}. Expected the same length along "
                "the first axis of all. Cut the longer ones, or combine separate datasets with Dataset.zip."
            )
        self.length = lengths[0]
        self.table = Table(leaves, treedef)

    @staticmethod
    def side_by_side(nodes: Sequence[Slices], treedef: Any) -> Slices:
        """The rows of several nodes next to each other, as many as the shortest has."""
        length = min(node.length for node in nodes)
        return Slices(treedef.unflatten([node.table.gather(range(length)) for node in nodes]))

    def chunks(self, run: Run) -> Iterator[Chunk]:
        if self.length:
            yield range(self.length)

    def cardinality(self) -> int:
        return self.length

    def make_spec(self) -> Any:
        assert self.table is not None
        return self.table.treedef.unflatten([tensor_spec(a.shape[1:], a.dtype) for a in self.table.arrays])


class Single(Node):
    """One element."""

    def __init__(self, tensors: Any) -> None:
        self._element = frozen(map_structure(as_array, tensors))

    def elements(self, run: Run) -> Iterator[Element]:
        yield self._element

    def cardinality(self) -> int:
        return 1

    def make_spec(self) -> Any:
        return spec_of(self._element)


class _Numbers(Table):
    """The table whose row i is the i-th number of a range; it is not held in memory."""

    def __init__(self, numbers: range, dtype: np.dtype) -> None:
        super().__init__([], flatten(0)[1])
        self._numbers = numbers
        self._dtype = dtype

    def row(self, i: int) -> Element:
        return np.array(self._numbers[i], self._dtype)

    def gather(self, rows: range | np.ndarray) -> Element:
        if isinstance(rows, range):
            chosen = self._numbers[rows.start : rows.stop : rows.step]
            return np.arange(chosen.start, chosen.stop, chosen.step, dtype=self._dtype)
        return (self._numbers.start + self._numbers.step * rows).astype(self._dtype, copy=False)

    def column(self, leaf: int) -> Table:
        return self


class Range(Node):
    """The numbers of a Python `range`, as scalars."""

    def __init__(self, numbers: range, dtype: str) -> None:
        self._numbers = numbers
        self._dtype = numpy_dtype(dtype)
        self.table = _Numbers(numbers, self._dtype)

    def chunks(self, run: Run) -> Iterator[Chunk]:
        if self._numbers:
            yield range(len(self._numbers))

    def cardinality(self) -> int:
        return len(self._numbers)

    def make_spec(self) -> Any:
        return tensor_spec((), self._dtype)


class Random(Node):
    """Random int64 scalars from 0 to 2**32 - 1, without end."""

    def __init__(self, seed: int | None, rerandomize_each_iteration: bool) -> None:
        self._seed = seed_or_random(seed)
        self._rerandomizes = rerandomize_each_iteration
        self._passes = 0

    def elements(self, run: Run) -> Iterator[Element]:
        number = self._passes
        if self._rerandomizes and not run.probing:
            self._passes += 1
        random = np.random.default_rng([self._seed, number])
        while True:
            for value in random.integers(2**32, size=1024):
                yield np.asarray(value)

    def cardinality(self) -> int:
        return INFINITE_CARDINALITY

    def make_spec(self) -> Any:
        return tensor_spec((), "int64")


class Generator(Node):
    """What a Python generator yields.

    Args:
        function: called at the beginning of each pass; returns an iterable.
        spec: nested TensorSpecs of what it yields.
        args: NumPy values to call it with.
    """

    def __init__(self, function: Callable[..., Any], spec: Any, args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args
        self._spec = spec
        self._specs, self._treedef = flatten(spec)
        self._types = [numpy_dtype(s.dtype) for s in self._specs]

    def elements(self, run: Run) -> Iterator[Element]:
        iterator = iter(self._function(*self._args))
        try:
            for value in iterator:
                yield self._element(value)
        finally:
            # A generator that holds files or connections lets go of them now.
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _element(self, value: Any) -> Element:
        if isinstance(value, list) and isinstance(self._spec, tuple):
            value = tuple(value)
        try:
            leaves = self._treedef.flatten_up_to(value)
        except ValueError as error:
            raise TypeError(
                f"The generator yielded {_brief(value)}, which is not nested like its output_signature "
                f"{self._spec}. Expected the same tuples and dicts. Yield them, or change the signature."
            ) from error
        return self._treedef.unflatten(
            [self._leaf(leaf, spec, dtype) for leaf, spec, dtype in zip(leaves, self._specs, self._types)]
        )

    def _leaf(self, value: Any, spec: TensorSpec, dtype: np.dtype) -> np.ndarray:
        try:
            if value is None:
                raise TypeError("None is no value")
            # A copy: generators may yield one array again and again.
            array = np.array(as_array(value)) if spec.dtype == "string" else np.array(value, dtype)
        except Exception as error:
            raise TypeError(
                f"The generator yielded {_brief(value)}, which cannot be made into an array of type {spec.dtype}: "
                f"{error}. Expected something like {spec}. Yield that, or change the output_signature."
            ) from error
        if not shapes_agree(array.shape, spec.shape):
            raise ValueError(
                f"The generator yielded an array of shape {array.shape}. Expected shape {spec.shape}, as in its "
                "output_signature. Yield arrays of that shape, or put None where the length varies."
            )
        return array


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."
