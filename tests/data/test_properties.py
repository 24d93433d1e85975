"""Chains of steps drawn at random: against a model in plain Python, on both paths, and with their cardinality."""

from __future__ import annotations

import numpy as np
from dataset_values import numbers, slow_path, values
from fastkeras.data import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = st.integers(0, 12)
POSITIVE = st.integers(1, 12)

# Names of steps and their arguments.
STEPS = st.one_of(
    st.tuples(st.just("take"), st.tuples(SMALL)),
    st.tuples(st.just("skip"), st.tuples(SMALL)),
    st.tuples(st.just("repeat"), st.tuples(st.integers(0, 3))),
    st.tuples(
        st.just("shard"), st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))
    ),
    st.tuples(st.just("shuffle"), st.tuples(POSITIVE, st.integers(0, 5))),
    st.tuples(st.just("cache"), st.just(())),
    st.tuples(st.just("prefetch"), st.tuples(st.integers(-1, 2))),
)


def modelled(items, name, args):
    """What a step that does not shuffle does to a list."""
    if name == "take":
        return items[: args[0]]
    if name == "skip":
        return items[args[0] :]
    if name == "repeat":
        return items * args[0]
    if name == "shard":
        return items[args[1] :: args[0]]
    return items


def chained(dataset, steps):
    for name, args in steps:
        dataset = getattr(dataset, name)(*args)
    return dataset


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 30), st.lists(STEPS, max_size=5), POSITIVE, st.booleans())
def test_chains(n, steps, batch, drop):
    datasets = [
        chained(numbers(n), steps),
        chained(Dataset.range(n), steps),
        chained(slow_path(numbers(n)), steps),
        chained(slow_path(numbers(n)).cache(), steps),
    ]
    results = [values(d) for d in datasets]
    # Row numbers, computed numbers and elements take the same way.
    assert all(r == results[0] for r in results)
    assert all(len(d) == len(results[0]) for d in datasets)
    if all(name != "shuffle" for name, _ in steps):
        expected = list(range(n))
        for name, args in steps:
            expected = modelled(expected, name, args)
        assert results[0] == expected
    again = chained(numbers(n), steps).batch(batch, drop_remainder=drop)
    got = values(again)
    full = [results[0][i : i + batch] for i in range(0, len(results[0]), batch)]
    assert got == [b for b in full if not drop or len(b) == batch] and len(again) == len(got)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**63 - 1), st.integers(1, 9))
def test_shuffled_batches_hold_everything(n, buffer, seed, batch):
    x, y = np.arange(2 * n).reshape(n, 2), np.arange(n)
    dataset = Dataset.from_tensor_slices((x, y)).shuffle(buffer, seed=seed).batch(batch)
    seen = []
    for bx, by in dataset.as_numpy_iterator():
        np.testing.assert_array_equal(bx, x[by])
        seen += by.tolist()
    assert sorted(seen) == list(range(n))
    assert all(position >= i - buffer + 1 for position, i in enumerate(seen))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 20), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.booleans()
)
def test_windows(n, size, shift, stride, drop, rows):
    source = numbers(n) if rows else slow_path(numbers(n))
    dataset = source.window(size, shift, stride, drop)
    expected = [list(range(start, n, stride))[:size] for start in range(0, n, shift)]
    expected = [w for w in expected if not drop or len(w) == size]
    assert values(dataset.flat_map(lambda w: w.batch(size))) == expected and len(dataset) == len(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 4), st.integers(1, 3))
def test_interleave(lengths, cycle, block):
    """Against the description of tf.data: `cycle` iterators in turn, `block` elements each."""
    inputs, slots, expected = iter(enumerate(lengths)), [None] * cycle, []
    place, more = 0, True
    while more or any(s is not None for s in slots):
        if slots[place] is None and more:
            i, n = next(inputs, (None, None))
            if i is None:
                more = False
            else:
                slots[place] = [(i, j) for j in range(n)]
            continue
        if slots[place] is not None:
            expected += slots[place][:block]
            slots[place] = slots[place][block:] if len(slots[place]) >= block else None
        place = (place + 1) % cycle
    source = Dataset.from_tensor_slices(np.array(lengths, "int64")).enumerate()
    for calls in (None, 2):
        dataset = source.interleave(
            lambda i, n: Dataset.range(n).map(lambda j: (i, j)), cycle, block, num_parallel_calls=calls
        )
        assert values(dataset) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12), POSITIVE)
def test_padded_batches(lengths, batch):
    rows = [[i + 1] * n for i, n in enumerate(lengths)]
    dataset = Dataset.from_generator(lambda: rows, "int64", (None,)).padded_batch(batch)
    expected = []
    for start in range(0, len(rows), batch):
        group = rows[start : start + batch]
        longest = max(map(len, group))
        expected.append([row + [0] * (longest - len(row)) for row in group])
    assert values(dataset) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_groups(items, n_keys, size):
    groups, expected = {}, []
    for x in items:
        group = groups.setdefault(x % n_keys, [])
        group.append(x)
        if len(group) == size:
            expected.append(groups.pop(x % n_keys))
    expected += [groups[key] for key in sorted(groups)]
    dataset = Dataset.from_tensor_slices(np.array(items, "int64")).group_by_window(
        lambda x: x % n_keys, lambda key, w: w.batch(100), size
    )
    assert values(dataset) == expected
