"""Steps that call users' functions on elements, and steps that combine datasets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastkeras.data.constants import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.dtypes import TEXT_KINDS
from fastkeras.data.element_spec import merge, spec_of, tensor_spec
from fastkeras.data.node import Derived, Element, Elements, Node, Run, total_cardinality
from fastkeras.data.prefetching import Autotuner, map_elements, read_ahead, worker_count
from fastkeras.data.selection import seed_or_random
from fastkeras.data.structure import HasNode, as_element, call, call_on_state, flatten, from_function

Function = Callable[..., Any]


class Map(Derived):
    """What a function makes of each element.

    Args:
        source: the node to read.
        function: the user's function.
        num_parallel_calls: number of threads.
        deterministic: whether results keep the order of the elements; None leaves it to the options.
    """

    def __init__(
        self, source: Node, function: Function, num_parallel_calls: int | None, deterministic: bool | None
    ) -> None:
        super().__init__(source)
        self._function = function
        self._parallel_calls = num_parallel_calls
        self._deterministic = deterministic
        self._autotuner = Autotuner()

    def _apply(self, element: Element) -> Element:
        return from_function(call(self._function, element))

    def elements(self, run: Run) -> Iterator[Element]:
        ordered = run.is_deterministic(self._deterministic)
        elements = self.source.elements(run)
        return map_elements(run, self._apply, elements, self._parallel_calls, self._autotuner, ordered)

    def make_spec(self) -> Any:
        return self.spec_of_results(lambda element: spec_of(self._apply(element)))


class Filter(Derived):
    """The elements for which a function returns True."""

    def __init__(self, source: Node, predicate: Function) -> None:
        super().__init__(source)
        self._predicate = predicate

    def elements(self, run: Run) -> Iterator[Element]:
        predicate = self._predicate
        for element in self.source.elements(run):
            if _truth(call(predicate, element), "filter"):
                yield element

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY


class TakeWhile(Derived):
    """The elements before the first for which a function returns False."""

    def __init__(self, source: Node, predicate: Function) -> None:
        super().__init__(source)
        self._predicate = predicate

    def elements(self, run: Run) -> Iterator[Element]:
        predicate = self._predicate
        for element in self.source.elements(run):
            if not _truth(call(predicate, element), "take_while"):
                return
            yield element

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY


def _truth(result: Any, step: str) -> bool:
    try:
        return bool(result)
    except Exception as error:
        raise TypeError(
            f"The predicate of `{step}` returned {result!r}, which is neither true nor false: {error}. Expected a "
            "boolean scalar. Reduce the condition, e.g. with `ops.all`."
        ) from error


class Unique(Derived):
    """The elements that have not been there before."""

    def elements(self, run: Run) -> Iterator[Element]:
        seen = set()
        for element in self.source.elements(run):
            key = tuple(_identity(leaf) for leaf in flatten(element)[0])
            if key not in seen:
                seen.add(key)
                yield element

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY


def _identity(array: np.ndarray) -> Any:
    if array.dtype.kind in TEXT_KINDS:
        return array.shape, tuple(array.ravel().tolist())
    return array.shape, array.dtype.str, array.tobytes()


class Scan(Derived):
    """What a function makes of each element and of a state, which it returns for the next one."""

    def __init__(self, source: Node, initial_state: Any, function: Function) -> None:
        super().__init__(source)
        self._initial_state = as_element(initial_state)
        self._function = function

    def elements(self, run: Run) -> Iterator[Element]:
        state = self._initial_state
        for element in self.source.elements(run):
            state, output = self._apply(state, element)
            yield output

    def _apply(self, state: Element, element: Element) -> tuple[Element, Element]:
        result = call_on_state(self._function, state, element)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                f"The function of `scan` returned {result!r}. Expected a pair (new_state, output). Return both."
            )
        return as_element(result[0]), from_function(result[1])

    def make_spec(self) -> Any:
        return self.spec_of_results(lambda element: spec_of(self._apply(self._initial_state, element)[1]))


class Interleave(Derived):
    """The elements of the datasets that a function makes of each element, several of them in turn.

    Args:
        source: the node to read.
        function: returns a dataset.
        cycle_length: number of datasets read in turn; 1 reads them one after the other.
        block_length: number of elements taken from one before the next has its turn.
        num_parallel_calls: number of threads that read ahead.
    """

    def __init__(
        self,
        source: Node,
        function: Function,
        cycle_length: int = 1,
        block_length: int = 1,
        num_parallel_calls: int | None = None,
    ) -> None:
        super().__init__(source)
        self._function = function
        self.cycle_length = cycle_length
        self.block_length = block_length
        self._parallel_calls = num_parallel_calls

    def _dataset(self, element: Element) -> Node:
        dataset = call(self._function, element)
        if not isinstance(dataset, HasNode):
            raise TypeError(
                f"The function given to `flat_map` or `interleave` returned {type(dataset).__name__}. Expected a "
                "Dataset. Wrap the result, e.g. in Dataset.from_tensor_slices, or use `map`."
            )
        return dataset._node

    def elements(self, run: Run) -> Iterator[Element]:
        workers = 1 if run.probing else worker_count(self._parallel_calls)
        pool = run.pool(workers) if workers > 1 else None
        try:
            yield from self._in_turn(run, pool)
        finally:
            if pool is not None:
                run.release(pool)

    def _in_turn(self, run: Run, pool: Any) -> Iterator[Element]:
        inputs = self.source.elements(run)
        has_more = True
        slots: list[Iterator[Element] | None] = [None] * self.cycle_length
        n_open = place = 0
        while has_more or n_open:
            current = slots[place]
            if current is None and has_more:
                for element in inputs:
                    current = self._dataset(element).elements(run)
                    if pool is not None:
                        current = read_ahead(pool, current, self.block_length)
                    slots[place] = current
                    n_open += 1
                    break
                else:
                    has_more = False
                continue
            if current is not None:
                block = 0
                for element in itertools.islice(current, self.block_length):
                    block += 1
                    yield element
                if block < self.block_length:
                    slots[place] = None
                    n_open -= 1
            place = (place + 1) % self.cycle_length

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY

    def make_spec(self) -> Any:
        return self.spec_of_results(lambda element: self._dataset(element).spec())


class GroupByWindow(Derived):
    """What a function makes of groups of elements with the same key.

    Args:
        source: the node to read.
        key: from an element to an integer.
        reduce: from a key and the dataset of a group to a dataset.
        window_size: from a key to the number of elements in a group; the last ones may be smaller.
    """

    def __init__(
        self, source: Node, key: Function, reduce: Function, window_size: Callable[[int], int]
    ) -> None:
        super().__init__(source)
        self._key = key
        self._reduce = reduce
        self._window_size = window_size

    def elements(self, run: Run) -> Iterator[Element]:
        groups: dict[int, list[Element]] = {}
        for element in self.source.elements(run):
            key = int(call(self._key, element))
            group = groups.setdefault(key, [])
            group.append(element)
            if len(group) >= self._window_size(key):
                yield from self._reduced(key, groups.pop(key)).elements(run)
        for key in sorted(groups):
            yield from self._reduced(key, groups[key]).elements(run)

    def _reduced(self, key: int, group: list[Element]) -> Node:
        node = Elements(group, self.source.spec)
        dataset = call(self._reduce, (np.asarray(key), node))
        if not isinstance(dataset, HasNode):
            raise TypeError(
                f"The reduce_func of `group_by_window` returned {type(dataset).__name__}. Expected a Dataset made "
                "of the window. Return e.g. `window.batch(size)`."
            )
        return dataset._node

    def cardinality(self) -> int:
        return 0 if self.source.cardinality() == 0 else UNKNOWN_CARDINALITY

    def make_spec(self) -> Any:
        return self.spec_of_results(lambda e: self._reduced(int(call(self._key, e)), [e]).spec())


class Enumerate(Derived):
    """Pairs of a number and an element."""

    def __init__(self, source: Node, start: int) -> None:
        super().__init__(source)
        self._start = start

    def elements(self, run: Run) -> Iterator[Element]:
        for i, element in enumerate(self.source.elements(run), self._start):
            yield np.asarray(i, np.int64), element

    def make_spec(self) -> Any:
        return tensor_spec((), "int64"), self.source.spec()


class Zip(Node):
    """Elements of several datasets side by side, as long as all of them last.

    Args:
        sources: the nodes to read.
        treedef: how their elements are nested.
    """

    def __init__(self, sources: Sequence[Node], treedef: Any) -> None:
        self._sources = sources
        self._treedef = treedef

    def elements(self, run: Run) -> Iterator[Element]:
        unflatten = self._treedef.unflatten
        for elements in zip(*[source.elements(run) for source in self._sources]):
            yield unflatten(elements)

    def cardinality(self) -> int:
        ns = [source.cardinality() for source in self._sources]
        if UNKNOWN_CARDINALITY in ns:
            return UNKNOWN_CARDINALITY
        return min((n for n in ns if n >= 0), default=INFINITE_CARDINALITY)

    def make_spec(self) -> Any:
        return self._treedef.unflatten([source.spec() for source in self._sources])


class Concatenate(Node):
    """The elements of several datasets one after the other."""

    def __init__(self, sources: Sequence[Node]) -> None:
        self._sources = sources

    def elements(self, run: Run) -> Iterator[Element]:
        return itertools.chain.from_iterable(source.elements(run) for source in self._sources)

    def cardinality(self) -> int:
        return total_cardinality(source.cardinality() for source in self._sources)

    def make_spec(self) -> Any:
        return merge((source.spec() for source in self._sources), "`concatenate`")


class Choose(Node):
    """Elements of several datasets, from one or the other as a dataset of numbers says.

    Args:
        sources: the nodes to read.
        choice: a node of scalar integers.
        stop_on_empty: whether to stop when the chosen dataset has ended; it is passed over otherwise.
    """

    def __init__(self, sources: Sequence[Node], choice: Node, stop_on_empty: bool) -> None:
        self._sources = sources
        self._choice = choice
        self._stop_on_empty = stop_on_empty

    def elements(self, run: Run) -> Iterator[Element]:
        iterators: list[Iterator[Element] | None] = [source.elements(run) for source in self._sources]
        n_open = len(iterators)
        for number in self._choice.elements(run):
            i = int(number)
            if not 0 <= i < len(iterators):
                raise ValueError(
                    f"The choice dataset yielded {i}, but there are {len(iterators)} datasets. Expected a number "
                    f"from 0 to {len(iterators) - 1}. Map it into that range, e.g. with `% {len(iterators)}`."
                )
            iterator = iterators[i]
            if iterator is None:
                continue
            for element in iterator:
                yield element
                break
            else:
                iterators[i] = None
                n_open -= 1
                if self._stop_on_empty or n_open == 0:
                    return

    def make_spec(self) -> Any:
        return merge((source.spec() for source in self._sources), "`choose_from_datasets`")


class Sample(Choose):
    """Elements of several datasets drawn at random, each with a weight.

    Args:
        sources: the nodes to read.
        weights: the weights of the sources, all positive, or None for equal ones.
        seed: fixes the order, None for another each time the program runs.
        stop_on_empty: whether to stop when the chosen dataset has ended; the others go on otherwise.
        rerandomize: whether each pass has an order of its own.
    """

    def __init__(
        self,
        sources: Sequence[Node],
        weights: Sequence[float] | Node | None,
        seed: int | None,
        stop_on_empty: bool,
        rerandomize: bool,
    ) -> None:
        super().__init__(sources, _Draws(len(sources), weights, seed, rerandomize), stop_on_empty)

    def cardinality(self) -> int:
        if self._stop_on_empty:
            return UNKNOWN_CARDINALITY
        return total_cardinality(source.cardinality() for source in self._sources)


class _Draws(Node):
    """Random numbers of datasets, by weight, without end."""

    def __init__(
        self, n: int, weights: Sequence[float] | Node | None, seed: int | None, rerandomize: bool
    ) -> None:
        self._n = n
        self._weights = weights
        self._seed = seed_or_random(seed)
        self._rerandomizes = rerandomize
        self._passes = itertools.count()

    def elements(self, run: Run) -> Iterator[Element]:
        number = next(self._passes) if self._rerandomizes and not run.probing else 0
        random = np.random.default_rng([self._seed, number])
        weights = self._weights
        if isinstance(weights, Node):
            # A new set of weights for each draw.
            for w in weights.elements(run):
                yield np.asarray(random.choice(self._n, p=_shares(w)))
            return
        shares = None if weights is None else _shares(np.asarray(weights, float))
        while True:
            yield from random.choice(self._n, size=1024, p=shares).tolist()


def _shares(weights: np.ndarray) -> np.ndarray:
    weights = weights.astype(float)
    return weights / weights.sum()
