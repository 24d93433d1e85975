"""Batches, padded batches, windows, groups, and back to rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dataset_values import numbers, slow_path, values
from fastkeras import ops
from fastkeras.data import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset, TensorSpec


@pytest.fixture(params=["rows", "elements"])
def make(request):
    return numbers if request.param == "rows" else lambda n: slow_path(numbers(n))


def ragged(*lengths):
    """[1], [2, 2], ...: one array per length."""
    rows = [np.full(n, i + 1) for i, n in enumerate(lengths)]
    return Dataset.from_generator(lambda: iter(rows), output_signature=TensorSpec((None,), "int64"))


@pytest.mark.parametrize("n, size", list(itertools.product([0, 1, 5, 6, 7], [1, 2, 3, 7, 10])))
def test_batch(make, n, size):
    expected = [list(range(n))[i : i + size] for i in range(0, n, size)]
    assert values(make(n).batch(size)) == expected
    assert len(make(n).batch(size)) == len(expected)
    full = [b for b in expected if len(b) == size]
    assert values(make(n).batch(size, drop_remainder=True)) == full
    assert len(make(n).batch(size, True)) == len(full)


def test_batches_across_passes(make):
    assert values(make(5).repeat(3).batch(4)) == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4, 0, 1], [2, 3, 4]]
    assert values(make(3).repeat().batch(7).take(2)) == [[0, 1, 2, 0, 1, 2, 0], [1, 2, 0, 1, 2, 0, 1]]
    assert make(3).repeat().batch(2).cardinality() == INFINITE_CARDINALITY
    assert make(3).filter(lambda x: True).batch(2).cardinality() == UNKNOWN_CARDINALITY


def test_batches_are_views_where_rows_follow_each_other():
    x = np.arange(20).reshape(10, 2)
    dataset = Dataset.from_tensor_slices(x).skip(1).batch(4)
    batches = list(dataset._numpy_batches())
    np.testing.assert_array_equal(np.concatenate(batches), x[1:])
    assert all(np.shares_memory(b, x) and not b.flags.writeable for b in batches)


def test_batches_of_batches(make):
    assert values(make(8).batch(2).batch(2)) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "bool", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (40, 50)])
def test_stacking_keeps_values_and_types(dtype, shape):
    import ml_dtypes  # noqa: F401 - registers bfloat16 with NumPy

    x = np.random.default_rng(0).integers(0, 2, (5, *shape)).astype(dtype)
    got = list(slow_path(Dataset.from_tensor_slices(x)).batch(3)._numpy_batches())
    assert [b.dtype for b in got] == [x.dtype] * 2
    np.testing.assert_array_equal(np.concatenate(got), x)


def test_stacking_nested_elements():
    data = {"a": np.arange(4), "b": (np.arange(8).reshape(4, 2), ["x", "yy", "z", "w"])}
    for dataset in (Dataset.from_tensor_slices(data), slow_path(Dataset.from_tensor_slices(data))):
        assert values(dataset.batch(3)) == [
            {"a": [0, 1, 2], "b": ([[0, 1], [2, 3], [4, 5]], ["x", "yy", "z"])},
            {"a": [3], "b": ([[6, 7]], ["w"])},
        ]


def test_stacking_in_threads():
    dataset = slow_path(numbers(20)).batch(3, num_parallel_calls=2)
    assert values(dataset) == values(numbers(20).batch(3))


def test_what_cannot_be_stacked():
    with pytest.raises(ValueError, match=r"different shapes.*\(1,\) and \(2,\).*padded_batch"):
        values(ragged(1, 2).batch(2))
    mixed = Dataset.range(2).map(lambda i: np.float32(1) if i else np.int32(1))
    with pytest.raises(ValueError, match="different types.*int32 and float32"):
        values(mixed.batch(2))
    nested = Dataset.range(2).map(lambda i: (i, i) if i else i)
    with pytest.raises(ValueError, match="nested in different ways"):
        values(nested.batch(2))
    with pytest.raises(TypeError, match="Nested datasets.*flat_map"):
        values(Dataset.range(4).window(2).batch(2))


def test_padded_batch():
    assert values(ragged(1, 3, 2).padded_batch(2)) == [[[1, 0, 0], [2, 2, 2]], [[3, 3]]]
    assert values(ragged(1, 3, 2).padded_batch(2, drop_remainder=True)) == [[[1, 0, 0], [2, 2, 2]]]
    assert values(ragged(1, 3).padded_batch(2, [4])) == [[[1, 0, 0, 0], [2, 2, 2, 0]]]
    assert values(ragged(1, 3).padded_batch(2, (None,), -1)) == [[[1, -1, -1], [2, 2, 2]]]
    assert values(ragged(1, 3).padded_batch(2, [-1], np.int64(7))) == [[[1, 7, 7], [2, 2, 2]]]


def test_padded_batch_of_nested_elements():
    dataset = Dataset.from_generator(
        lambda: [(1, {"t": [1, 2]}), (2, {"t": [3]})], ("int32", {"t": "float32"}), ((), {"t": (None,)})
    )
    shapes, padding = ((), {"t": [3]}), (0, {"t": 0.5})
    expected = [([1, 2], {"t": [[1, 2, 0.5], [3, 0.5, 0.5]]})]
    assert values(dataset.padded_batch(2, shapes, padding)) == expected
    batch = dataset.padded_batch(2, shapes, padding)
    assert batch.element_spec == (TensorSpec((None,), "int32"), {"t": TensorSpec((None, 3), "float32")})
    assert values(dataset.padded_batch(2))[0][1] == {"t": [[1, 2], [3, 0]]}
    assert dataset.padded_batch(2, drop_remainder=True).element_spec[1]["t"].shape == (2, None)


def test_padded_batch_of_two_axes():
    shapes = [(1, 2), (3, 1)]
    dataset = Dataset.range(2).map(lambda i: np.ones(shapes[int(i)], "int32")).padded_batch(2)
    assert values(dataset) == [[[[1, 1], [0, 0], [0, 0]], [[1, 0], [1, 0], [1, 0]]]]


def test_padded_batch_of_text():
    texts = [["a"], ["b", "c"]]
    dataset = Dataset.from_generator(lambda: texts, output_signature=TensorSpec((None,), "string"))
    assert values(dataset.padded_batch(2)) == [[["a", ""], ["b", "c"]]]
    assert values(dataset.padded_batch(2, padding_values="?")) == [[["a", "?"], ["b", "c"]]]


def test_what_cannot_be_padded():
    with pytest.raises(ValueError, match=r"shape \(3,\).*larger than its padded shape \(2,\)"):
        values(ragged(1, 3).padded_batch(2, [2]))
    with pytest.raises(ValueError, match="`padded_shapes` is not nested"):
        values(Dataset.zip(ragged(1), ragged(1)).padded_batch(2, ([None],)))
    with pytest.raises(ValueError, match=r"cannot pad.*int64 with 0\.5"):
        values(ragged(1, 3).padded_batch(2, padding_values=0.5))
    with pytest.raises(ValueError, match="Expected 2 axes"):
        values(ragged(1, 3).padded_batch(2, (None, None)))


def test_unbatch(make):
    assert values(make(5).batch(2).unbatch()) == [0, 1, 2, 3, 4]
    pairs = Dataset.from_tensors((np.arange(3), {"a": np.arange(6).reshape(3, 2)})).unbatch()
    assert values(pairs) == [(0, {"a": [0, 1]}), (1, {"a": [2, 3]}), (2, {"a": [4, 5]})]
    assert pairs.element_spec == (TensorSpec((), "int64"), {"a": TensorSpec((2,), "int64")})
    with pytest.raises(ValueError, match=r"unbatch got an element.*shapes \[\(\)\]"):
        values(make(2).unbatch())
    with pytest.raises(ValueError, match="equal length"):
        values(Dataset.from_tensors((np.arange(2), np.arange(3))).unbatch())


@pytest.mark.parametrize("before, after", list(itertools.product([1, 2, 3, 10], [1, 2, 4, 7, 20])))
def test_rebatch(make, before, after):
    expected = [list(range(10))[i : i + after] for i in range(0, 10, after)]
    assert values(make(10).batch(before).rebatch(after)) == expected
    dropped = make(10).batch(before).rebatch(after, drop_remainder=True)
    assert values(dropped) == [b for b in expected if len(b) == after]


def windows(n, size, shift, stride, drop):
    """What tf.data documents: window i begins at i * shift."""
    out = []
    for start in range(0, n, shift):
        window = list(range(start, n, stride))[:size]
        if not drop or len(window) == size:
            out.append(window)
    return out


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(
    "size, shift, stride", list(itertools.product([1, 2, 3], [None, 1, 2, 5], [1, 2, 3]))
)
def test_window(make, size, shift, stride, drop):
    for n in (0, 1, 4, 9):
        dataset = make(n).window(size, shift, stride, drop)
        expected = windows(n, size, shift or size, stride, drop)
        assert [values(w) for w in dataset] == expected
        assert len(dataset) == len(expected)
        assert values(dataset.flat_map(lambda w: w.batch(100))) == expected


def test_windows_of_nested_elements():
    data = np.arange(4), {"a": np.arange(4) * 10}
    for dataset in (Dataset.from_tensor_slices(data), slow_path(Dataset.from_tensor_slices(data))):
        windows = dataset.window(2)
        assert [(values(a), values(b["a"])) for a, b in windows] == [([0, 1], [0, 10]), ([2, 3], [20, 30])]
        together = windows.flat_map(lambda a, b: Dataset.zip((a.batch(2), b["a"].batch(2))))
        assert values(together) == [([0, 1], [0, 10]), ([2, 3], [20, 30])]
        assert len(next(iter(windows))[0]) == 2
        assert together.element_spec == (TensorSpec((None,), "int64"),) * 2


def test_group_by_window():
    dataset = Dataset.range(10).group_by_window(lambda x: x % 3, lambda key, w: w.batch(4), window_size=2)
    assert values(dataset) == [[0, 3], [1, 4], [2, 5], [6, 9], [7], [8]]
    sized = Dataset.range(10).group_by_window(
        lambda x: x % 2,
        lambda key, w: w.batch(10).map(lambda b: (key, b)),
        window_size_func=lambda key: key + 1,
    )
    assert values(sized) == [
        (0, [0]),
        (0, [2]),
        (1, [1, 3]),
        (0, [4]),
        (0, [6]),
        (1, [5, 7]),
        (0, [8]),
        (1, [9]),
    ]
    with pytest.raises(TypeError, match="reduce_func.*returned int"):
        values(Dataset.range(3).group_by_window(lambda x: 0, lambda key, w: 3, 2))


def test_bucket_by_sequence_length():
    dataset = ragged(1, 3, 2, 5, 2, 8, 6)
    batches = values(dataset.bucket_by_sequence_length(lambda x: x.shape[0], [3, 6], [2, 2, 2]))
    # Lengths below 3, below 6, and the rest.
    assert [[len([v for v in row if v]) for row in b] for b in batches] == [[1, 2], [3, 5], [8, 6], [2]]
    assert [len(b[0]) for b in batches] == [2, 5, 8, 2]
    to_boundary = ragged(1, 4, 2).bucket_by_sequence_length(
        lambda x: ops.shape(x)[0], [3, 6], [2, 2, 1], pad_to_bucket_boundary=True, padding_values=-1
    )
    assert values(to_boundary) == [[[1, -1], [3, 3]], [[2, 2, 2, 2, -1]]]
    too_long = ragged(9).bucket_by_sequence_length(
        lambda x: x.shape[0], [3], [2, 2], pad_to_bucket_boundary=True
    )
    with pytest.raises(ValueError, match="at least 3 long"):
        values(too_long)
    equal = ragged(2, 2, 4).bucket_by_sequence_length(lambda x: x.shape[0], [3], [2, 2], no_padding=True)
    assert values(equal) == [[[1, 1], [2, 2]], [[3, 3, 3, 3]]]
    with pytest.raises(ValueError, match="one batch size more"):
        dataset.bucket_by_sequence_length(len, [3], [2])
