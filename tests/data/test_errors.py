"""One mistake each: the message says what happened, what was expected, and how to mend it."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_values import values
from fastkeras.data import INFINITE_CARDINALITY, Dataset, TensorSpec, experimental

A = Dataset.range(3)

MISTAKES = {
    "no arrays": (lambda: Dataset.from_tensor_slices(()), ValueError, "got no arrays.*Expected at least one"),
    "scalar": (lambda: Dataset.from_tensor_slices((1, [2])), ValueError, "scalar.*Use from_tensors"),
    "lengths": (
        lambda: Dataset.from_tensor_slices(([1, 2], [1])),
        ValueError,
        r"different lengths: \[2, 1\].*Expected the same length.*Cut",
    ),
    "ragged": (
        lambda: Dataset.from_tensor_slices([[1], [1, 2]]),
        TypeError,
        "cannot be made into an array.*Pad",
    ),
    "object": (lambda: Dataset.from_tensors(object()), TypeError, "nothing an array can be made of.*Convert"),
    "list of objects": (
        lambda: Dataset.from_tensors([None, 1]),
        TypeError,
        "nothing an array can be made of",
    ),
    "dates": (lambda: Dataset.from_tensors(np.datetime64("2020-01-01")), TypeError, r"datetime64.*astype"),
    "constructor": (lambda: Dataset([1, 2]), TypeError, "static methods.*from_tensor_slices"),
    "no signature": (lambda: Dataset.from_generator(list), TypeError, "neither.*output_signature="),
    "two signatures": (
        lambda: Dataset.from_generator(list, "int32", output_signature=TensorSpec((), "int32")),
        ValueError,
        "together with.*Drop",
    ),
    "bad signature": (
        lambda: Dataset.from_generator(list, output_signature="int32"),
        TypeError,
        "must hold TensorSpecs.*Pass e.g.",
    ),
    "shapes without types": (
        lambda: Dataset.from_generator(list, ("int32", "int32"), [()]),
        ValueError,
        "does not fit `output_types`.*output_signature",
    ),
    "bad shape": (
        lambda: Dataset.from_generator(list, "int32", (-3,)),
        ValueError,
        r"\(-3,\) is no shape.*non-negative.*Pass e.g.",
    ),
    "bad type": (lambda: Dataset.from_generator(list, "int33"), ValueError, "Invalid dtype: 'int33'"),
    "no generator function": (
        lambda: Dataset.from_generator(iter([1]), "int32"),
        TypeError,
        "`generator` must be a function",
    ),
    "float in range": (lambda: Dataset.range(2.5), TypeError, "must be an integer.*2.5 of type float.*int()"),
    "no range": (lambda: Dataset.range(), TypeError, "range"),
    "zip of a list": (lambda: Dataset.zip([A, A]), TypeError, "a list does not count.*tuples"),
    "zip of arrays": (lambda: Dataset.zip((A, [1])), TypeError, "Wrap arrays"),
    "zip of nothing": (lambda: Dataset.zip(), TypeError, "Pass e.g."),
    "no datasets": (lambda: Dataset.choose_from_datasets([], A), ValueError, "`datasets` is empty.*Pass"),
    "no choice": (
        lambda: Dataset.choose_from_datasets([A], [0]),
        TypeError,
        "`choice_dataset` must be a Dataset",
    ),
    "weights": (
        lambda: Dataset.sample_from_datasets([A, A], [1.0]),
        ValueError,
        r"2 non-negative numbers.*weights=\[1.0\].*Pass e.g.",
    ),
    "negative weights": (lambda: Dataset.sample_from_datasets([A, A], [1, -1]), ValueError, "non-negative"),
    "zero weights": (lambda: Dataset.sample_from_datasets([A, A], [0, 0]), ValueError, "not all zero"),
    "batch size": (
        lambda: A.batch(0),
        ValueError,
        "`batch_size` must be an integer of at least 1.*batch_size=0",
    ),
    "batch size type": (lambda: A.batch("2"), TypeError, "`batch_size` must be an integer.*'2' of type str"),
    "padded batch size": (lambda: A.padded_batch(-1), ValueError, "`batch_size`"),
    "rebatch": (lambda: A.rebatch(0), ValueError, "`batch_size`"),
    "buffer": (lambda: A.shuffle(0), ValueError, "`buffer_size` must be an integer of at least 1"),
    "seed": (lambda: A.shuffle(1, seed="x"), TypeError, "`seed` must be an integer"),
    "prefetch": (lambda: A.prefetch(-2), ValueError, r"`buffer_size`.*at least 0 \(or -1\)"),
    "take": (lambda: A.take(-2), ValueError, "`count`"),
    "skip": (lambda: A.skip(1.5), TypeError, "`count`"),
    "repeat": (lambda: A.repeat(-2), ValueError, "`count`"),
    "shards": (lambda: A.shard(0, 0), ValueError, "`num_shards`"),
    "shard": (
        lambda: A.shard(2, 2),
        ValueError,
        "`index` must be less than.*num_shards=2, index=2.*from 0 to 1",
    ),
    "negative shard": (lambda: A.shard(2, -1), ValueError, "`index`"),
    "window": (lambda: A.window(0), ValueError, "`size`"),
    "shift": (lambda: A.window(2, shift=0), ValueError, "`shift`"),
    "stride": (lambda: A.window(2, stride=0), ValueError, "`stride`"),
    "parallel": (lambda: A.map(lambda x: x, num_parallel_calls=0), ValueError, "`num_parallel_calls`"),
    "map": (lambda: A.map(3), TypeError, "`map_func` must be a function.*map_func=3"),
    "filter": (lambda: A.filter(None), TypeError, "`predicate` must be a function"),
    "reduce": (lambda: A.reduce(0, 1), TypeError, "`reduce_func` must be a function"),
    "cycle": (lambda: A.interleave(lambda x: A, cycle_length=0), ValueError, "`cycle_length`"),
    "block": (lambda: A.interleave(lambda x: A, block_length=0), ValueError, "`block_length`"),
    "groups": (
        lambda: A.group_by_window(lambda x: x, lambda k, w: w),
        ValueError,
        "takes one of.*window_size=None.*exactly one",
    ),
    "concatenate": (lambda: A.concatenate([1]), TypeError, "`dataset` must be a Dataset.*from_tensor_slices"),
    "len of infinite": (lambda: len(A.repeat()), TypeError, "infinite.*take"),
    "len of unknown": (lambda: len(A.filter(lambda x: True)), TypeError, "unknown.*assert_cardinality"),
    "sequence of nothing": (lambda: values(A.map(lambda x: x).unbatch()), ValueError, "Use it after `batch`"),
    "few elements": (
        lambda: values(A.apply(experimental.assert_cardinality(4))),
        ValueError,
        "expected 4 elements, but the dataset has 3",
    ),
    "many elements": (lambda: values(A.apply(experimental.assert_cardinality(2))), ValueError, "has more"),
    "an end": (
        lambda: values(A.apply(experimental.assert_cardinality(INFINITE_CARDINALITY))),
        ValueError,
        "expected no end",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    mistake, error, message = MISTAKES[name]
    with pytest.raises(error, match=f"(?s){message}"):
        mistake()


def test_asserted_cardinality():
    dataset = A.filter(lambda x: True).apply(experimental.assert_cardinality(3))
    assert len(dataset) == experimental.cardinality(dataset) == 3 and values(dataset) == [0, 1, 2]
    assert experimental.get_single_element(A.batch(3)).tolist() == [0, 1, 2]


def test_a_dataset_is_true_and_lists_need_no_length():
    assert bool(Dataset.range(0)) and bool(A.repeat())
    assert [int(x) for x in A.filter(lambda x: x > 0)] == [1, 2] and len(list(A.filter(lambda x: True))) == 3


def test_integers_of_any_library():
    from fastkeras import ops

    two = ops.convert_to_tensor(2)
    assert values(A.take(np.int64(2))) == values(A.take(two)) == [0, 1] and len(A.batch(two)) == 2


def test_iterators():
    iterator = iter(A)
    assert int(iterator.get_next()) == 0 and iter(iterator) is iterator
    assert [int(x) for x in iterator] == [1, 2]
    with pytest.raises(StopIteration):
        iterator.get_next()
