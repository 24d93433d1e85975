"""Steps that choose, repeat and order elements without looking at them.

They work on chunks, which hold elements or row numbers alike (see `node.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from fastkeras.data.constants import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from fastkeras.data.node import Chunk, Derived, Node, Run, join, pick, row_numbers
from fastkeras.data.structure import frozen

# Places drawn from a random generator at once: what is drawn must not depend on how elements come in chunks.
_DRAWN = 1024


def seed_or_random(seed: int | None) -> int:
    """A non-negative seed: `seed`, or one from NumPy's global generator, so that `set_random_seed` fixes it."""
    if seed is None:
        return int(np.random.randint(0, 2**32, dtype=np.uint64))
    return int(seed) % 2**64


class Selection(Derived):
    """Base class of steps whose elements are those of their source, row numbers or not."""

    def __init__(self, source: Node) -> None:
        super().__init__(source)
        self.table = source.table


class Take(Selection):
    """The first `count` elements."""

    def __init__(self, source: Node, count: int) -> None:
        super().__init__(source)
        self.count = count

    def chunks(self, run: Run) -> Iterator[Chunk]:
        left = self.count
        if left == 0:
            return
        for chunk in self.source.chunks(run):
            if len(chunk) >= left:
                # Without asking for an element too many.
                yield chunk[:left]
                return
            left -= len(chunk)
            yield chunk

    def cardinality(self) -> int:
        n = self.source.cardinality()
        if n == INFINITE_CARDINALITY or self.count == 0:
            return self.count
        return n if n == UNKNOWN_CARDINALITY else min(n, self.count)


class Skip(Selection):
    """All but the first `count` elements; -1 skips all of them."""

    def __init__(self, source: Node, count: int) -> None:
        super().__init__(source)
        self.count = count

    def chunks(self, run: Run) -> Iterator[Chunk]:
        if self.count < 0:
            return
        left = self.count
        for chunk in self.source.chunks(run):
            if left >= len(chunk):
                left -= len(chunk)
                continue
            yield chunk[left:] if left else chunk
            left = 0

    def cardinality(self) -> int:
        n = self.source.cardinality()
        if self.count < 0:
            return 0
        return n if n < 0 else max(0, n - self.count)


class Shard(Selection):
    """Every `num_shards`-th element, from element `index` on."""

    def __init__(self, source: Node, num_shards: int, index: int) -> None:
        super().__init__(source)
        self.num_shards = num_shards
        self.index = index

    def chunks(self, run: Run) -> Iterator[Chunk]:
        start = self.index
        for chunk in self.source.chunks(run):
            part = chunk[start :: self.num_shards]
            start = (start - len(chunk)) % self.num_shards if start < len(chunk) else start - len(chunk)
            if len(part):
                yield part

    def cardinality(self) -> int:
        n = self.source.cardinality()
        return n if n < 0 else len(range(self.index, n, self.num_shards))


class Repeat(Selection):
    """The elements `count` times; -1 means without end."""

    def __init__(self, source: Node, count: int) -> None:
        super().__init__(source)
        self.count = count

    def chunks(self, run: Run) -> Iterator[Chunk]:
        for _ in itertools.count() if self.count < 0 else range(self.count):
            is_empty = True
            for chunk in self.source.chunks(run):
                is_empty = False
                yield chunk
            if is_empty and self.count < 0:
                # It would search for an element forever.
                return

    def cardinality(self) -> int:
        n = self.source.cardinality()
        if self.count < 0:
            return 0 if n == 0 else INFINITE_CARDINALITY
        return n * self.count if n >= 0 else (n if self.count else 0)


class Shuffle(Selection):
    """The elements in random order, drawn from a buffer that is refilled from the source.

    Args:
        source: the node to read.
        buffer_size: number of elements to draw from.
        seed: fixes the orders, None for others each time the program runs.
        reshuffle_each_iteration: whether each pass has an order of its own.
    """

    def __init__(
        self, source: Node, buffer_size: int, seed: int | None, reshuffle_each_iteration: bool
    ) -> None:
        super().__init__(source)
        self.buffer_size = buffer_size
        self._seed = seed_or_random(seed)
        self._reshuffles = reshuffle_each_iteration
        self._passes = itertools.count()

    def chunks(self, run: Run) -> Iterator[Chunk]:
        source = self.source.chunks(run)
        if run.probing:
            yield from source
            return
        number = next(self._passes) if self._reshuffles else 0
        random = np.random.default_rng([self._seed, number])
        parts: list[Chunk] = []
        held = 0
        rest: Chunk = []
        for chunk in source:
            room = self.buffer_size - held
            parts.append(chunk[:room])
            held += len(parts[-1])
            if room < len(chunk):
                rest = chunk[room:]
                break
        if not held:
            return
        buffer = join(parts)
        if len(rest):
            # Lists of Python integers are faster to read and write one by one than arrays.
            buffer = _as_list(buffer)
            places = self._places(random)
            for chunk in itertools.chain([rest], source):
                for start in range(0, len(chunk), _DRAWN):
                    yield self._exchanged(buffer, chunk[start : start + _DRAWN], places)
        yield pick(buffer if self.table is None else row_numbers(buffer), random.permutation(held))

    def _places(self, random: np.random.Generator) -> Iterator[int]:
        while True:
            yield from random.integers(self.buffer_size, size=_DRAWN).tolist()

    def _exchanged(self, buffer: list, chunk: Chunk, places: Iterator[int]) -> Chunk:
        """Puts each item of a chunk into a random place of the buffer; returns what was there."""
        out = []
        # The chunk comes first: zip asks it first whether there is another item, before drawing a place.
        for item, place in zip(_as_list(chunk), places):
            out.append(buffer[place])
            buffer[place] = item
        return out if self.table is None else np.array(out)


def _as_list(chunk: Chunk) -> list:
    return chunk.tolist() if isinstance(chunk, np.ndarray) else list(chunk)


class Cache(Selection):
    """The elements, kept in memory once a pass has seen all of them."""

    def __init__(self, source: Node) -> None:
        super().__init__(source)
        self._kept: list[Chunk] | None = None

    def chunks(self, run: Run) -> Iterator[Chunk]:
        if self._kept is not None or run.probing:
            yield from self.source.chunks(run) if self._kept is None else self._kept
            return
        known = self.source.cardinality()
        parts: list[Chunk] = []
        held = 0
        for chunk in self.source.chunks(run):
            if self.table is None:
                chunk = [frozen(element) for element in chunk]
            parts.append(chunk)
            held += len(chunk)
            if held == known:
                # A consumer that counts does not ask whether there is more.
                self._keep(parts)
            yield chunk
        self._keep(parts)

    def _keep(self, parts: list[Chunk]) -> None:
        # The pass that ends first decides, where several go on at the same time.
        if self._kept is None:
            self._kept = [join(parts)] if parts else []
