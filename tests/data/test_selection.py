"""Steps that choose, repeat and order: over row numbers and over elements, against plain Python."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
from dataset_values import numbers, slow_path, values
from fastkeras.data import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset
from fastkeras.utils import set_random_seed

# The steps must do the same to row numbers, to elements, and to elements that come from a cache in one piece.
KINDS = {
    "rows": lambda n: numbers(n),
    "range": lambda n: Dataset.range(n),
    "elements": lambda n: slow_path(numbers(n)),
    "cached": lambda n: slow_path(numbers(n)).cache(),
}


@pytest.fixture(params=KINDS)
def make(request):
    def dataset(n):
        made = KINDS[request.param](n)
        values(made)
        return made

    return dataset


def test_which_path_is_taken():
    assert KINDS["rows"](3).shuffle(2).take(2).repeat().shard(2, 0).skip(1).cache()._node.table is not None
    assert KINDS["elements"](3)._node.table is None


@pytest.mark.parametrize("n", [0, 1, 5, 7, 20, -1])
def test_take_and_skip(make, n):
    expected = list(range(7))
    assert values(make(7).take(n)) == (expected if n < 0 else expected[:n])
    assert values(make(7).skip(n)) == ([] if n < 0 else expected[n:])
    assert len(make(7).take(n)) == len(values(make(7).take(n)))
    assert len(make(7).skip(n)) == len(values(make(7).skip(n)))


def test_take_and_skip_compose(make):
    assert values(make(10).skip(2).take(5).skip(1).take(3)) == [3, 4, 5]


def test_take_asks_for_no_element_too_many():
    pulled = []
    dataset = Dataset.range(9).map(lambda x: pulled.append(int(x)) or x).take(2)
    assert values(dataset) == [0, 1] and pulled == [0, 1]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 10])
def test_shards(make, shards):
    parts = [make(7).shard(shards, i) for i in range(shards)]
    assert [values(p) for p in parts] == [list(range(i, 7, shards)) for i in range(shards)]
    assert [len(p) for p in parts] == [len(range(i, 7, shards)) for i in range(shards)]


@pytest.mark.parametrize("shards, index", [(2, 1), (3, 2), (5, 0), (11, 8)])
def test_shards_go_on_across_chunks(make, shards, index):
    # Repetition gives several chunks; the count must go on from one to the next.
    expected = (list(range(3)) * 4)[index::shards]
    assert values(make(3).repeat(4).shard(shards, index)) == expected


def test_repeat(make):
    assert values(make(2).repeat(3)) == [0, 1] * 3 and len(make(2).repeat(3)) == 6
    assert values(make(2).repeat(0)) == [] and len(make(2).repeat(0)) == 0
    assert values(make(2).repeat().take(5)) == [0, 1, 0, 1, 0]
    for count in (None, -1):
        assert make(2).repeat(count).cardinality() == INFINITE_CARDINALITY
    assert make(2).repeat().repeat(0).cardinality() == 0
    assert make(2).repeat().take(7).cardinality() == 7


def test_repeating_nothing_ends(make):
    assert values(make(0).repeat()) == [] and make(0).repeat().cardinality() == 0
    nothing = make(3).filter(lambda x: False).repeat()
    assert nothing.cardinality() == INFINITE_CARDINALITY and values(nothing) == []


def test_a_shuffled_dataset_has_the_same_elements(make):
    for buffer in (1, 2, 10, 49, 50, 51, 1000):
        got = values(make(50).shuffle(buffer, seed=1))
        assert sorted(got) == list(range(50))
        assert (got == list(range(50))) == (buffer == 1)


def test_a_buffer_bounds_how_early_an_element_comes(make):
    """Element i cannot come before i - (buffer - 1) others have."""
    for buffer in (2, 5, 20):
        got = values(make(200).shuffle(buffer, seed=3))
        assert all(position >= i - buffer + 1 for position, i in enumerate(got))
        assert any(position < i for position, i in enumerate(got))


def test_both_paths_shuffle_alike():
    """Row numbers go through the buffer in blocks, elements one by one: the order must not show it."""
    for buffer, n in itertools.product((1, 7, 300, 2000), (0, 5, 300, 3000)):
        orders = [values(KINDS[kind](n).shuffle(buffer, seed=9)) for kind in KINDS]
        assert all(order == orders[0] for order in orders)


def test_a_full_shuffle_is_uniform():
    counts = collections.Counter()
    dataset = numbers(4).shuffle(4, seed=0)
    for _ in range(2400):
        counts[tuple(values(dataset))] += 1
    assert len(counts) == 24 and all(60 < n < 140 for n in counts.values())


def test_places_in_the_buffer_are_uniform():
    """The first element out of a buffer of 5 is each of the first 5 equally often."""
    dataset = numbers(20).shuffle(5, seed=0).take(1)
    counts = collections.Counter(values(dataset)[0] for _ in range(1000))
    assert set(counts) == set(range(5)) and all(150 < n < 250 for n in counts.values())


def test_seeds(make):
    orders = [values(make(50).shuffle(50, seed=s)) for s in (1, 1, 2, -1)]
    assert orders[0] == orders[1] != orders[2] != orders[3]


def test_reshuffling(make):
    dataset = make(50).shuffle(50, seed=1)
    first, second = values(dataset), values(dataset)
    assert first != second
    again = make(50).shuffle(50, seed=1)
    assert [values(again), values(again)] == [first, second]
    epochs = values(make(50).shuffle(50, seed=1).repeat(2))
    assert epochs == first + second
    fixed = make(50).shuffle(50, seed=1, reshuffle_each_iteration=False)
    assert values(fixed) == values(fixed) == first
    assert values(fixed.repeat(2)) == first * 2


def test_the_global_seed_fixes_orders():
    orders = []
    for seed in (5, 5, 6):
        set_random_seed(seed)
        dataset = numbers(50).shuffle(50)
        orders.append(values(dataset) + values(dataset))
    assert orders[0] == orders[1] != orders[2]
    assert values(numbers(50).shuffle(50)) != values(numbers(50).shuffle(50))


def test_rows_of_several_arrays_stay_together():
    x, y = np.arange(600).reshape(200, 3), np.arange(200)
    dataset = Dataset.from_tensor_slices((x, {"y": y})).shuffle(50, seed=0).repeat(2).shard(3, 1).batch(7)
    seen = []
    for bx, by in dataset.as_numpy_iterator():
        np.testing.assert_array_equal(bx, x[by["y"]])
        seen += by["y"].tolist()
    assert len(seen) == len(range(1, 400, 3))


def test_cache_in_memory():
    calls = []
    dataset = Dataset.range(4).map(lambda x: calls.append(1) or x * 2).cache()
    assert values(dataset.take(2)) == [0, 2] and len(calls) == 2
    # A pass that does not see everything keeps nothing.
    assert values(dataset) == values(dataset) == [0, 2, 4, 6]
    assert len(calls) == 6
    assert values(dataset.batch(3).repeat(2)) == [[0, 2, 4], [6]] * 2 and len(calls) == 6
    assert values(dataset.skip(1)) == [2, 4, 6] and len(dataset) == 4


def test_a_pass_that_counts_fills_the_cache():
    calls = []
    dataset = Dataset.range(4).map(lambda x: calls.append(1) or x).cache()
    assert values(dataset.take(4)) == values(dataset) == [0, 1, 2, 3]
    assert len(calls) == 4


def test_a_cache_of_unknown_length():
    calls = []
    dataset = Dataset.range(9).filter(lambda x: calls.append(1) or x % 3 == 0).cache()
    assert values(dataset) == values(dataset) == [0, 3, 6] and len(calls) == 9
    assert dataset.cardinality() == UNKNOWN_CARDINALITY


def test_a_cache_keeps_an_order():
    for dataset in (numbers(40), slow_path(numbers(40))):
        before = dataset.shuffle(40, seed=0).cache()
        assert values(before) == values(before)
        after = dataset.cache().shuffle(40, seed=0)
        assert values(after) != values(after)


def test_an_empty_cache():
    dataset = Dataset.range(3).filter(lambda x: False).cache()
    assert values(dataset) == values(dataset) == values(dataset.repeat()) == []


def test_concatenate(make):
    both = make(2).concatenate(make(3))
    assert values(both) == [0, 1, 0, 1, 2] and len(both) == 5
    assert sorted(values(make(1).concatenate(make(0)).concatenate(make(2)).shuffle(9, seed=0))) == [0, 0, 1]
    assert make(2).concatenate(make(2).repeat()).cardinality() == INFINITE_CARDINALITY
    assert make(2).concatenate(make(2).filter(lambda x: True)).cardinality() == UNKNOWN_CARDINALITY


def test_unique():
    assert values(Dataset.from_tensor_slices([3, 1, 3, 2, 1]).unique()) == [3, 1, 2]
    assert values(Dataset.from_tensor_slices(["a", "b", "a"]).unique()) == ["a", "b"]
    pairs = Dataset.from_tensor_slices(([1, 1, 1], [[1, 2], [2, 1], [1, 2]]))
    assert values(pairs.unique()) == [(1, [1, 2]), (1, [2, 1])]


def test_enumerate(make):
    assert values(make(2).enumerate()) == [(0, 0), (1, 1)]
    assert values(make(2).enumerate(start=7)) == [(7, 0), (8, 1)]


def test_datasets_are_not_changed_by_what_is_made_of_them(make):
    dataset = make(5)
    dataset.shuffle(5), dataset.take(1), dataset.repeat(3)
    assert values(dataset) == [0, 1, 2, 3, 4]
    one, two = iter(dataset), iter(dataset)
    assert [int(next(one)), int(next(one)), int(next(two)), int(next(one))] == [0, 1, 0, 2]
