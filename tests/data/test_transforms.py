"""Users' functions on elements: what they get, what they may return, in which order they are called."""

from __future__ import annotations

import collections
import time

import numpy as np
import pytest
from dataset_values import numbers, plain, values
from fastkeras import _engine, ops
from fastkeras.data import UNKNOWN_CARDINALITY, Dataset, Options


def test_functions_get_engine_tensors():
    seen = []
    dataset = Dataset.from_tensor_slices((np.arange(4, dtype="uint8").reshape(2, 2), [1.5, 2.5]))
    values(dataset.map(lambda x, y: seen.append((x, y)) or x))
    assert all(type(t) is _engine.Tensor for pair in seen for t in pair)
    assert [(x.dtype, x.shape, y.dtype, y.shape) for x, y in seen] == [("uint8", (2,), "float32", ())] * 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.cast(x, "float32") / 255.0,
        lambda x: x.astype("float32") / 255.0,
        lambda x: np.asarray(x).astype("float32") / np.float32(255),
        lambda x: x.numpy().astype("float32") / np.float32(255),
    ],
)
def test_functions_of_any_kind(function):
    x = np.arange(12, dtype="uint8").reshape(3, 4)
    for dataset in (
        Dataset.from_tensor_slices(x).map(function).batch(3),
        Dataset.from_tensors(x).map(function),
    ):
        (result,) = dataset._numpy_batches()
        assert result.dtype == "float32"
        np.testing.assert_allclose(result, x / 255, rtol=1e-6)


def test_members_of_tuples_are_arguments():
    pair = collections.namedtuple("Pair", "a b")
    given = {
        "tuple": ((1, 2), lambda a, b: a + b),
        "nested": (((1, 2), 3), lambda ab, c: ab[0] + ab[1] + c),
        "dict": ({"a": 1, "b": 2}, lambda d: d["a"] + d["b"]),
        "namedtuple": (pair(1, 2), lambda p: p.a + p.b),
        "in a tuple": (({"a": 1}, 2), lambda d, b: d["a"] + b),
    }
    for name, (element, function) in given.items():
        expected = 6 if name == "nested" else 3
        assert values(Dataset.from_tensors(element).map(function)) == [expected], name


@pytest.mark.parametrize(
    "result, expected, dtypes",
    [
        (5, 5, "int32"),
        (2.5, 2.5, "float32"),
        (True, True, "bool"),
        (np.int8(3), 3, "int8"),
        ("text", "text", None),
        ((1, 2.0), (1, 2.0), ("int32", "float32")),
        # A list of results counts as a tuple, a list inside one is an array.
        ([1, 2.0], (1, 2.0), ("int32", "float32")),
        (([1, 2], 3), ([1, 2], 3), ("int32", "int32")),
        ({"a": (1, [2.0])}, {"a": (1, [2.0])}, None),
        ((1, None), (1, None), None),
    ],
)
def test_results_of_functions(result, expected, dtypes):
    dataset = Dataset.range(1).map(lambda x: result)
    assert values(dataset) == [expected]
    if dtypes:
        (got,) = list(dataset)
        assert plain([t.dtype for t in got] if isinstance(got, tuple) else got.dtype) == (
            list(dtypes) if isinstance(dtypes, tuple) else dtypes
        )


def test_a_list_of_tensors_is_a_tuple_of_them():
    assert values(Dataset.range(2).map(lambda x: [x, x + 1])) == [(0, 1), (1, 2)]
    assert values(Dataset.range(2).map(lambda x: ([x, x + 1], x))) == [([0, 1], 0), ([1, 2], 1)]


def test_a_function_may_return_and_then_change_its_array():
    buffer = np.zeros(2)

    def function(x):
        buffer[:] = int(x)
        return buffer

    assert values(Dataset.range(3).map(function).batch(3)) == [[[0, 0], [1, 1], [2, 2]]]
    assert buffer.flags.writeable


def test_what_is_no_result():
    with pytest.raises(TypeError, match="nothing an array can be made of"):
        values(Dataset.range(1).map(lambda x: object()))
    with pytest.raises(TypeError, match="datetime64"):
        values(Dataset.range(1).map(lambda x: np.datetime64("2020-01-01")))


def test_python_conditions_on_values():
    assert values(Dataset.range(4).map(lambda x: x * 10 if x > 1 else -x)) == [0, -1, 20, 30]


def test_maps_follow_each_other_lazily():
    calls = []
    dataset = (
        Dataset.range(3).map(lambda x: calls.append(("a", int(x))) or x).map(lambda x: calls.append("b") or x)
    )
    assert calls == []
    iterator = iter(dataset)
    next(iterator)
    assert calls == [("a", 0), "b"]


def test_errors_keep_their_type_and_elements_before_them():
    def function(x):
        if x == 2:
            raise KeyError("two")
        return x

    iterator = Dataset.range(5).map(function).as_numpy_iterator()
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.raises(KeyError, match="two"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


def test_filter():
    assert values(Dataset.range(6).filter(lambda x: x % 2 == 1)) == [1, 3, 5]
    pairs = Dataset.from_tensor_slices(([1, 2, 3], ["a", "b", "c"]))
    assert values(pairs.filter(lambda i, text: text != "b")) == [(1, "a"), (3, "c")]
    assert values(Dataset.range(3).filter(lambda x: np.asarray(x) > 0).batch(5)) == [[1, 2]]
    assert Dataset.range(3).filter(lambda x: True).cardinality() == UNKNOWN_CARDINALITY
    assert Dataset.range(0).filter(lambda x: True).cardinality() == 0
    with pytest.raises(TypeError, match="predicate of `filter` returned"):
        values(Dataset.from_tensors([1, 2]).filter(lambda x: x > 0))


def test_take_while():
    pulled = []
    dataset = Dataset.range(9).map(lambda x: pulled.append(1) or x).take_while(lambda x: x < 3)
    assert values(dataset) == [0, 1, 2] and len(pulled) == 4
    assert values(Dataset.from_tensor_slices(([1, 2], [5, 0])).take_while(lambda a, b: b > a)) == [(1, 5)]


def test_flat_map():
    dataset = Dataset.from_tensor_slices([[1, 2], [3, 4]]).flat_map(Dataset.from_tensor_slices)
    assert values(dataset) == [1, 2, 3, 4] and dataset.cardinality() == UNKNOWN_CARDINALITY
    nested = Dataset.range(4).flat_map(lambda x: Dataset.range(x))
    assert values(nested) == [0, 0, 1, 0, 1, 2]
    with pytest.raises(TypeError, match="`flat_map` or `interleave` returned Tensor.*use `map`"):
        values(Dataset.range(2).flat_map(lambda x: x))


@pytest.mark.parametrize("calls", [None, 2, -1])
def test_interleave(calls):
    def repeated(x):
        return Dataset.from_tensors(x).repeat(6)

    # The example of the documentation of tf.data.
    dataset = Dataset.range(1, 6).interleave(
        repeated, cycle_length=2, block_length=4, num_parallel_calls=calls
    )
    # fmt: off
    assert values(dataset) == [
        1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5,
    ]
    # fmt: on
    lengths = Dataset.from_tensor_slices([3, 0, 1, 2])
    uneven = lengths.interleave(
        lambda n: Dataset.range(n).map(lambda i: n * 10 + i), cycle_length=3, num_parallel_calls=calls
    )
    # Slots: 3, 0, 1. The empty one and the one of 1 are refilled at their next turns.
    assert values(uneven) == [30, 10, 31, 20, 32, 21]
    assert values(Dataset.range(0).interleave(repeated, 2, num_parallel_calls=calls)) == []


def test_interleave_reads_many_datasets_in_turn():
    dataset = Dataset.range(20).interleave(lambda x: Dataset.from_tensors(x).repeat(2))
    assert sorted(values(dataset)) == sorted(list(range(20)) * 2)
    assert values(dataset)[:4] == [0, 1, 2, 3]


def test_interleave_passes_errors_on():
    def function(x):
        return Dataset.range(3).map(lambda y: 1 // (int(y) - 2) if x == 1 else y)

    for calls in (None, 2):
        with pytest.raises(ZeroDivisionError):
            values(Dataset.range(3).interleave(function, 3, num_parallel_calls=calls))


def test_scan():
    sums = Dataset.range(5).scan(0, lambda state, x: (state + x, state))
    assert values(sums) == [0, 0, 1, 3, 6] and values(sums) == values(sums) and len(sums) == 5
    pairs = Dataset.from_tensor_slices(([1, 2], [3, 4]))
    nested = pairs.scan({"n": 0}, lambda s, element: ({"n": s["n"] + 1}, (s["n"], element[0] * element[1])))
    assert values(nested) == [(0, 3), (1, 8)]
    with pytest.raises(TypeError, match="Expected a pair"):
        values(Dataset.range(2).scan(0, lambda s, x: x))


def test_reduce():
    assert int(Dataset.range(5).reduce(0, lambda s, x: s + x)) == 10
    total, count = Dataset.range(5).reduce((np.int64(0), 0), lambda s, x: (s[0] + x, s[1] + 1))
    assert (int(total), int(count)) == (10, 5) and type(total) is _engine.Tensor
    pairs = Dataset.from_tensor_slices(([1, 2], [3, 4]))
    assert int(pairs.reduce(0, lambda s, pair: s + pair[0] * pair[1])) == 11
    assert int(Dataset.range(0).reduce(7, lambda s, x: s + x)) == 7


def test_apply():
    assert values(Dataset.range(4).apply(lambda d: d.skip(1).batch(2))) == [[1, 2], [3]]
    with pytest.raises(TypeError, match="`apply` returned int"):
        Dataset.range(4).apply(lambda d: 3)


def test_get_single_element():
    assert Dataset.range(3).batch(3).get_single_element().tolist() == [0, 1, 2]
    for n, what in ((0, "no element"), (2, "more than one")):
        with pytest.raises(ValueError, match=what):
            Dataset.range(n).get_single_element()


def test_functions_run_on_values_while_a_step_is_recorded():
    dataset = numbers(3).map(lambda x: x * 2 if x > 0 else x)
    trace = _engine.Trace()
    with trace:
        assert _engine.in_trace()
        assert values(dataset) == [0, 2, 4]
        assert int(dataset.reduce(0, lambda s, x: s + x)) == 6


@pytest.mark.parametrize("calls", [None, 1, 2, 4, -1])
def test_parallel_calls_keep_the_order(calls):
    def function(x):
        # The first ones take longest.
        time.sleep(0.002 * (int(x) % 4 == 0))
        return x * 2

    dataset = Dataset.range(40).map(function, num_parallel_calls=calls)
    assert values(dataset) == list(range(0, 80, 2)) and len(dataset) == 40
    assert values(dataset.batch(7).take(1)) == [[0, 2, 4, 6, 8, 10, 12]]


def test_options_are_kept():
    options = Options()
    assert options.deterministic is None
    options.experimental_deterministic = False
    options.threading.private_threadpool_size = 3
    options.experimental_optimization.map_parallelization = True
    dataset = Dataset.range(3).with_options(options).map(lambda x: x)
    assert dataset.options().deterministic is False
    more = Options()
    more.autotune.enabled = True
    merged = dataset.with_options(more).options()
    assert merged.deterministic is False and merged.autotune.enabled is True
    assert merged.threading.private_threadpool_size == 3 and dataset.options() != merged
    assert Dataset.zip(dataset, Dataset.range(2)).options().deterministic is False
    assert Dataset.range(1).options() == Options()
    with pytest.raises(TypeError, match="must be an Options"):
        dataset.with_options({"deterministic": False})
