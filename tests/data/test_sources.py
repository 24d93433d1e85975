"""Where elements come from: arrays, numbers, generators, files."""

from __future__ import annotations

import collections
import itertools

import ml_dtypes
import numpy as np
import pytest
from dataset_values import plain, values
from fastkeras import Variable, _engine, ops
from fastkeras.data import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset, TensorSpec


def test_slices_are_rows():
    x = np.arange(12, dtype="float32").reshape(4, 3)
    dataset = Dataset.from_tensor_slices(x)
    assert len(dataset) == 4 and dataset.cardinality() == 4
    got = list(dataset)
    assert all(type(t) is _engine.Tensor and t.dtype == "float32" and t.shape == (3,) for t in got)
    np.testing.assert_array_equal([t.numpy() for t in got], x)


def test_slices_keep_the_nesting():
    Pair = collections.namedtuple("Pair", "left right")
    data = {"a": np.arange(3), "b": (np.arange(3) * 2, [[1], [2], [3]])}, Pair(np.arange(3.0), [7, 8, 9])
    first = next(iter(Dataset.from_tensor_slices(data).as_numpy_iterator()))
    assert plain(first) == ({"a": 0, "b": (0, [1])}, Pair(0.0, 7))
    assert type(first[1]) is Pair and list(first[0]) == ["a", "b"]


def test_a_none_stays_where_it_is():
    assert values(Dataset.from_tensor_slices((np.arange(2), None))) == [(0, None), (1, None)]


@pytest.mark.parametrize(
    "given, dtype",
    [
        ([1, 2], "int32"),
        ([1, 2**40], "int64"),
        ([1.5, 2], "float32"),
        ([True, False], "bool"),
        (np.array([1.0, 2.0]), "float64"),
        ([np.float64(1), np.float64(2)], "float64"),
        ([np.arange(2), np.arange(2)], "int64"),
        (np.array([1, 2], "uint8"), "uint8"),
        (np.array([1, 2], ">i2"), "int16"),
        (np.array([1, 2], ml_dtypes.bfloat16), "bfloat16"),
        (lambda: ops.convert_to_tensor([1, 2], "int16"), "int16"),
        (lambda: [ops.convert_to_tensor(1, "int16"), ops.convert_to_tensor(2, "int16")], "int16"),
        (lambda: Variable([1.0, 2.0], dtype="float16"), "float16"),
        (np.array(["a", "bc"]), "string"),
        ([b"a\0", b"b"], "string"),
    ],
)
def test_types_of_slices(given, dtype):
    dataset = Dataset.from_tensor_slices(given() if callable(given) else given)
    assert dataset.element_spec.dtype == dtype and len(dataset) == 2
    for element in dataset:
        assert isinstance(element, (str, bytes)) if dtype == "string" else element.dtype == dtype
    assert len(values(dataset)) == 2


def test_bytes_keep_their_zeros():
    assert values(Dataset.from_tensor_slices([b"a\0", b"\0"])) == [b"a\0", b"\0"]
    assert values(Dataset.from_tensors(b"a\0")) == [b"a\0"]


def test_text_is_passed_on():
    seen = []
    dataset = Dataset.from_tensor_slices((["ab", "c"], [1, 2]))
    got = values(dataset.map(lambda text, i: (seen.append(text) or text.upper(), i)).batch(2))
    assert got == [(["AB", "C"], [1, 2])]
    assert all(isinstance(text, str) for text in seen)


def test_slices_of_frames_of_series():
    class Series:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3.0)

    assert values(Dataset.from_tensor_slices({"x": Series()})) == [{"x": 0.0}, {"x": 1.0}, {"x": 2.0}]


def test_a_memory_map_is_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = Dataset.from_tensor_slices(mapped).batch(4)
    assert values(dataset) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(type(b) is np.ndarray and np.shares_memory(b, mapped) for b in dataset._numpy_batches())


def test_users_get_arrays_of_their_own():
    x = np.arange(4)
    for batch in Dataset.from_tensor_slices(x).batch(2).as_numpy_iterator():
        batch[:] = -1
    cached = Dataset.range(4).batch(2).cache()
    for _ in range(2):
        for batch in cached.as_numpy_iterator():
            batch[:] = -1
    assert x.tolist() == [0, 1, 2, 3] and values(cached) == [[0, 1], [2, 3]]


def test_tensors_are_one_element():
    dataset = Dataset.from_tensors(([1, 2], {"a": 3.5}))
    assert values(dataset) == [([1, 2], {"a": 3.5})] and len(dataset) == 1
    assert dataset.element_spec == (TensorSpec((2,), "int32"), {"a": TensorSpec((), "float32")})


@pytest.mark.parametrize("args", [(5,), (2, 7), (0, 10, 3), (5, 0, -2), (3, 3), (0,)])
def test_range(args):
    dataset = Dataset.range(*args)
    assert values(dataset) == list(range(*args)) and len(dataset) == len(range(*args))
    assert values(dataset.batch(2)) == [list(range(*args))[i : i + 2] for i in range(0, len(dataset), 2)]
    assert sorted(values(dataset.shuffle(100, seed=0))) == sorted(range(*args))
    assert dataset.element_spec == TensorSpec((), "int64")


def test_range_has_a_type():
    dataset = Dataset.range(3, output_type="float32")
    assert [t.dtype for t in dataset] == ["float32"] * 3
    batch = next(iter(dataset.shuffle(3).batch(3)))
    assert batch.dtype == "float32"


def test_random_numbers():
    dataset = Dataset.random(seed=3)
    assert dataset.cardinality() == INFINITE_CARDINALITY
    first = values(dataset.take(2000))
    assert first == values(dataset.take(2000)) == values(Dataset.random(seed=3).take(2000))
    assert first != values(Dataset.random(seed=4).take(2000))
    assert 0 <= min(first) < 2**30 and 2**31 < max(first) < 2**32 and len(set(first)) > 1900
    again = Dataset.random(seed=3, rerandomize_each_iteration=True).take(5)
    assert values(again) != values(again)


def count(stop, scale=1):
    for i in range(stop):
        yield i * scale, [i] * i


SIGNATURE = TensorSpec((), "int32"), TensorSpec((None,), "float32")


def test_generator():
    dataset = Dataset.from_generator(lambda: count(3), output_signature=SIGNATURE)
    assert dataset.cardinality() == UNKNOWN_CARDINALITY and dataset.element_spec == SIGNATURE
    for _ in range(2):  # each pass calls the function anew
        assert values(dataset) == [(0, []), (1, [1.0]), (2, [2.0, 2.0])]
    assert [(a.dtype, b.dtype) for a, b in dataset.take(1)] == [("int32", "float32")]


def test_generator_with_types_and_shapes():
    for shapes in (None, ((), (None,)), ([], [None])):
        shapes = tuple(shapes) if shapes else None
        dataset = Dataset.from_generator(lambda: count(2), ("int64", np.float32), shapes)
        assert values(dataset) == [(0, []), (1, [1.0])]
    assert dataset.element_spec[1] == TensorSpec((None,), "float32")


def test_generator_with_arguments():
    seen = []

    def generator(stop, scale):
        seen.append((stop, scale))
        return count(stop, scale)

    dataset = Dataset.from_generator(generator, output_signature=SIGNATURE, args=(2, [3, 4]))
    with pytest.raises(ValueError, match=r"shape \(2,\).*Expected shape \(\)"):
        values(dataset)
    assert isinstance(seen[0][0], np.generic) and seen[0][1].tolist() == [3, 4]


def test_generator_may_reuse_its_array():
    def generator():
        buffer = np.zeros(2)
        for i in range(4):
            buffer[:] = i
            yield buffer

    dataset = Dataset.from_generator(generator, output_signature=TensorSpec((2,), "float64")).batch(4)
    assert values(dataset) == [[[0, 0], [1, 1], [2, 2], [3, 3]]]


def test_generator_accepts_callables_and_lists():
    dataset = Dataset.from_generator(lambda: [[1, 2], [3, 4]], ("int32", "int32"))
    assert values(dataset) == [(1, 2), (3, 4)]
    dataset = Dataset.from_generator(lambda: [{"a": 1}], {"a": "int32"})
    assert values(dataset) == [{"a": 1}]
    dataset = Dataset.from_generator(lambda: ["x", "yz"], "string")
    assert values(dataset) == ["x", "yz"]


def test_generator_is_closed_when_iteration_is_given_up():
    log = []

    def generator():
        try:
            yield from itertools.count()
        finally:
            log.append("closed")

    dataset = Dataset.from_generator(generator, "int64")
    iterator = iter(dataset)
    next(iterator)
    assert log == []
    iterator.close()
    assert log == ["closed"]
    assert values(dataset.take(2)) == [0, 1]
    assert log == ["closed"] * 2


def test_what_a_generator_returns_is_closed_although_others_hold_it():
    class Connection:
        n_closed = 0

        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def close(self):
            self.n_closed += 1

    connection = Connection()
    assert values(Dataset.from_generator(lambda: connection, "int64").take(2)) == [1, 1]
    assert connection.n_closed == 1


@pytest.mark.parametrize(
    "yielded, signature, error, message",
    [
        ((1, 2, 3), ("int32", "int32"), TypeError, "not nested like"),
        (1, ("int32", "int32"), TypeError, "not nested like"),
        ("x", "int32", TypeError, "cannot be made into an array of type int32"),
        (None, "float32", TypeError, "None"),
        ([[1], [2, 3]], "int32", TypeError, "Yield"),
    ],
)
def test_generator_that_breaks_its_word(yielded, signature, error, message):
    with pytest.raises(error, match=message):
        values(Dataset.from_generator(lambda: [yielded], signature))


def test_list_files(tmp_path):
    for name in ("b.txt", "a.txt", "c.dat"):
        (tmp_path / name).write_text("x")
    names = [str(tmp_path / n) for n in ("a.txt", "b.txt")]
    assert values(Dataset.list_files(str(tmp_path / "*.txt"), shuffle=False)) == names
    assert values(Dataset.list_files([tmp_path / "b.*", tmp_path / "a.*"], shuffle=False)) == names
    many = [str(tmp_path / f"{i:02}.png") for i in range(20)]
    for name in many:
        open(name, "w").close()
    shuffled = Dataset.list_files(str(tmp_path / "*.png"), seed=1)
    first = values(shuffled)
    assert first != many and sorted(first) == many and values(shuffled) != first
    assert values(Dataset.list_files(str(tmp_path / "*.png"), seed=1)) == first
    with pytest.raises(FileNotFoundError, match=r"No file matches .*\.jpg"):
        Dataset.list_files(str(tmp_path / "*.jpg"))


def test_zip():
    a, b = Dataset.range(3), Dataset.range(10, 15)
    assert values(Dataset.zip(a, b)) == values(Dataset.zip((a, b))) == [(0, 10), (1, 11), (2, 12)]
    assert values(Dataset.zip(datasets=(a, b))) == [(0, 10), (1, 11), (2, 12)]
    nested = Dataset.zip({"x": a, "y": (b, a)})
    assert values(nested.take(1)) == [{"x": 0, "y": (10, 0)}] and len(nested) == 3
    assert values(Dataset.zip(a)) == [0, 1, 2]


def test_zipped_arrays_are_rows_side_by_side():
    x, y = np.arange(6).reshape(3, 2), {"t": np.arange(5)}
    dataset = Dataset.zip(Dataset.from_tensor_slices(x), Dataset.from_tensor_slices(y))
    assert len(dataset) == 3 and dataset._node.table is not None
    assert values(dataset) == [([0, 1], {"t": 0}), ([2, 3], {"t": 1}), ([4, 5], {"t": 2})]
    for bx, by in dataset.shuffle(3, seed=0).batch(2).as_numpy_iterator():
        np.testing.assert_array_equal(bx[:, 0] // 2, by["t"])


def test_zip_cardinality():
    unknown, infinite = Dataset.range(9).filter(lambda x: True), Dataset.range(2).repeat()
    assert Dataset.zip(Dataset.range(3), infinite).cardinality() == 3
    assert Dataset.zip(infinite, infinite).cardinality() == INFINITE_CARDINALITY
    assert Dataset.zip(infinite, unknown).cardinality() == UNKNOWN_CARDINALITY
    assert values(Dataset.zip(Dataset.range(3), infinite)) == [(0, 0), (1, 1), (2, 0)]


def test_choose_from_datasets():
    parts = [Dataset.from_tensors(c).repeat() for c in "abc"]
    chosen = Dataset.choose_from_datasets(parts, Dataset.range(3).repeat(2))
    assert values(chosen) == list("abcabc")
    short = [Dataset.range(1), Dataset.range(10, 13)]
    choice = Dataset.from_tensor_slices([0, 1, 0, 1, 1, 1, 0])
    assert values(Dataset.choose_from_datasets(short, choice)) == [0, 10]
    assert values(Dataset.choose_from_datasets(short, choice, False)) == [0, 10, 11, 12]
    with pytest.raises(ValueError, match="yielded 2, but there are 2 datasets"):
        values(Dataset.choose_from_datasets(short, Dataset.range(5)))


def test_sample_from_datasets():
    parts = [Dataset.from_tensors(i).repeat(500) for i in range(3)]
    dataset = Dataset.sample_from_datasets(parts, [0.7, 0.3, 0.0], seed=1)
    assert dataset.cardinality() == 1000
    got = values(dataset)
    assert got == values(dataset) and 2 not in got
    assert sorted(got) == [0] * 500 + [1] * 500
    assert 55 < got[:100].count(0) < 85
    equal = values(Dataset.sample_from_datasets(parts, seed=5).take(300))
    assert all(70 < equal.count(i) < 130 for i in range(3))
    stopping = Dataset.sample_from_datasets(parts[:2], seed=1, stop_on_empty_dataset=True)
    assert stopping.cardinality() == UNKNOWN_CARDINALITY
    n = len(values(stopping))
    assert 500 <= n < 1000
    other = Dataset.sample_from_datasets(parts, seed=1, rerandomize_each_iteration=True)
    assert values(other) != values(other)


def test_sample_with_changing_weights():
    parts = [Dataset.from_tensors(i).repeat() for i in range(2)]
    weights = Dataset.from_tensor_slices([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2)
    assert values(Dataset.sample_from_datasets(parts, weights)) == [0, 0, 0, 1, 1]
