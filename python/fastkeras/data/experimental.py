"""What `tf.data.experimental` has that is still in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastkeras.data import checks
from fastkeras.data.constants import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.dataset import Dataset
from fastkeras.data.node import Derived, Element, Node, Run
from fastkeras.data.options import AutoShardPolicy

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "UNKNOWN_CARDINALITY",
    "AutoShardPolicy",
    "assert_cardinality",
    "cardinality",
    "get_single_element",
]


def cardinality(dataset: Dataset) -> int:
    """Returns the number of elements of a dataset; see `Dataset.cardinality`."""
    return dataset.cardinality()


def get_single_element(dataset: Dataset) -> Any:
    """Returns the only element of a dataset; see `Dataset.get_single_element`."""
    return dataset.get_single_element()


def assert_cardinality(expected_cardinality: int) -> Callable[[Dataset], Dataset]:
    """Returns a transformation that says how many elements a dataset has, and checks it while it is read.

    Args:
        expected_cardinality: the number, or INFINITE_CARDINALITY.

    Example:
        >>> dataset = Dataset.from_generator(rows, output_signature=spec).apply(assert_cardinality(100))
        >>> len(dataset)
        100
    """
    n = checks.integer("expected_cardinality", expected_cardinality, 0, INFINITE_CARDINALITY)
    return lambda dataset: dataset._derive(_Counted(dataset._node, n))


class _Counted(Derived):
    """The elements, of which there are known to be `n`."""

    def __init__(self, source: Node, n: int) -> None:
        super().__init__(source)
        self._n = n

    def elements(self, run: Run) -> Iterator[Element]:
        count = 0
        for element in self.source.elements(run):
            count += 1
            if 0 <= self._n < count:
                raise self._error("more")
            yield element
        if count != self._n:
            raise self._error(str(count))

    def _error(self, found: str) -> ValueError:
        return ValueError(
            f"assert_cardinality expected {'no end' if self._n < 0 else self._n} elements, but the dataset has "
            f"{found}. Expected the number it was told. Correct it, or drop the assertion."
        )

    def cardinality(self) -> int:
        return self._n
