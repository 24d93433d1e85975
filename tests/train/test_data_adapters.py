"""Data adapters: what reaches the step from what users pass, without any model."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import fastkeras
import numpy as np
import pytest
from fastkeras import _engine
from fastkeras.training.data_adapters import (
    ArrayAdapter,
    EpochStream,
    PyDataset,
    get_data_adapter,
    is_dataset,
    pack_x_y_sample_weight,
    train_validation_split,
    unpack_x_y_sample_weight,
)


def rows(n=10, width=3):
    return np.arange(n * width, dtype="float32").reshape(n, width)


def collect(adapter):
    return [signature.treedef.unflatten(arrays) for signature, arrays in adapter.batches()]


def test_slices_of_arrays():
    x, y = rows(), np.arange(10)
    adapter = get_data_adapter(x, y, batch_size=4)
    batches = collect(adapter)
    assert adapter.num_batches == 3 and [len(b[0]) for b in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
    np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), y)
    # Whole batches share one signature, which the loop compares by identity; the arrays are views.
    signatures = [s for s, _ in adapter.batches()]
    assert signatures[0] is signatures[1] is not signatures[2]
    assert np.shares_memory(batches[0][0], x)


@pytest.mark.parametrize("size", [1, 3, 10, 64])
def test_shuffled_rows_stay_together(size):
    np.random.seed(0)
    x, y = rows(), np.arange(10)
    adapter = get_data_adapter(x, y, batch_size=size, shuffle=True)
    orders = []
    for _ in range(2):
        seen = []
        for _signature, (bx, by) in adapter.batches():
            assert bx.flags.c_contiguous
            np.testing.assert_array_equal(bx, x[by])
            seen += by.tolist()
        assert sorted(seen) == list(range(10))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_shuffled_batches_share_one_buffer():
    adapter = get_data_adapter(rows(64), batch_size=8, shuffle=True)
    assert len({arrays[0].ctypes.data for _, arrays in adapter.batches()}) == 1


def test_shuffling_batches():
    np.random.seed(1)
    adapter = get_data_adapter(np.arange(22), batch_size=4, shuffle="batch")
    batches = [b.tolist() for b in collect(adapter)]
    assert batches[-1] == [20, 21]
    assert sorted(batches) == [list(range(i, min(i + 4, 22))) for i in range(0, 22, 4)]
    assert batches != sorted(batches)


@pytest.mark.parametrize(
    "given, dtype",
    [
        (np.ones(3, "float64"), "float32"),
        (np.ones(3, "float16"), "float32"),
        (np.ones(3, ">f4"), "float32"),
        (np.ones(3, ">i4"), "int32"),
        (np.ones(3, "int64"), "int64"),
        (np.ones(3, "uint8"), "uint8"),
        (np.ones(3, "bool"), "bool"),
        ([1, 2, 3], "int64"),
        ([1.0, 2.0, 3.0], "float32"),
        ([[1.0, 2.0], [3.0, 4.0]], "float32"),
        ((True, False), "bool"),
        (np.ones((3, 4), "float32").T, "float32"),
        (np.ones(6, "float32")[::-2], "float32"),
    ],
)
def test_types(given, dtype):
    adapter = get_data_adapter(given)
    ((signature, (array,)),) = adapter.batches()
    assert array.dtype == np.dtype(dtype) and array.dtype.isnative and array.flags.c_contiguous
    assert signature.dtypes == (dtype,)
    np.testing.assert_array_equal(array, np.asarray(given))


def test_tensors_and_foreign_arrays():
    class Foreign:
        shape, dtype = (2,), np.dtype("float32")

        def __array__(self, dtype=None, copy=None):
            return np.array([1, 2], "float32")

    for given in (_engine.tensor(np.array([1, 2], "float32")), Foreign()):
        assert collect(get_data_adapter(given))[0].tolist() == [1, 2]


def test_jax_and_torch_arrays():
    jnp = pytest.importorskip("jax.numpy")
    assert collect(get_data_adapter(jnp.arange(3.0)))[0].tolist() == [0, 1, 2]


def test_memory_maps_are_converted_batch_by_batch(tmp_path):
    x = np.memmap(tmp_path / "x", dtype="float64", mode="w+", shape=(10, 2))
    x[:] = rows(10, 2)
    for shuffle in (False, True):
        adapter = get_data_adapter(x, np.arange(10), batch_size=4, shuffle=shuffle)
        assert adapter.arrays[0].dtype == "float64"
        for bx, by in collect(adapter):
            assert bx.dtype == "float32"
            np.testing.assert_array_equal(bx, rows(10, 2)[by])


def test_nesting_is_kept():
    x = {"b": rows(), "a": [rows(), np.arange(10)]}
    (batch,) = collect(get_data_adapter(x, (np.arange(10),)))
    assert list(batch[0]) == ["b", "a"] and isinstance(batch[0]["a"], list) and isinstance(batch[1], tuple)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": None}, "`x` is None"),
        ({"x": rows(4), "y": np.arange(3)}, "cardinality is ambiguous.*'x' sizes: 4, 'y' sizes: 3"),
        ({"x": rows(4), "y": np.arange(4), "sample_weight": np.ones(3)}, "'sample_weight' sizes: 3"),
        ({"x": rows(0)}, "The data is empty"),
        ({"x": []}, "holds no arrays"),
        ({"x": np.array(["a", "b"])}, r"Invalid dtype: <U1 in `x`"),
        ({"x": np.array([1, None])}, "Invalid dtype: object"),
        ({"x": np.array([1 + 2j])}, "Invalid dtype: complex128"),
        ({"x": np.array(["2020-01-01"], dtype="datetime64[D]")}, "Invalid dtype: datetime64"),
        ({"x": np.float32(3)}, "is a scalar"),
        ({"x": [[1, 2], [3]]}, "cannot be made into an array"),
        ({"x": "text"}, "Unrecognized data type: x='text'"),
        ({"x": [object()]}, "Unrecognized data type"),
        ({"x": rows(4), "batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"x": rows(4), "batch_size": -1}, "batch_size=-1"),
        ({"x": rows(4), "batch_size": "4"}, "batch_size='4'"),
        ({"x": rows(4), "batch_size": 2.0}, "batch_size=2.0"),
        ({"x": rows(4), "sample_weight": np.ones(4)}, "without targets"),
        ({"x": rows(4), "class_weight": {0: 1.0}}, "`class_weight` needs the targets"),
        ({"x": rows(4), "y": np.arange(4), "class_weight": [1, 2]}, "must be a dict"),
        ({"x": rows(4), "y": np.arange(4), "class_weight": {"0": 1}}, "must map class indices"),
        ({"x": rows(4), "y": [np.arange(4)] * 2, "class_weight": {0: 1}}, "single output"),
        (
            {"x": rows(4), "y": np.arange(4), "class_weight": {0: 1}, "sample_weight": np.ones(4)},
            "`class_weight` and `sample_weight`",
        ),
        (
            {"x": rows(4), "y": {"a": np.ones(4), "b": np.ones(4)}, "sample_weight": [np.ones(4)] * 3},
            "one `sample_weight` array per output",
        ),
        ({"x": (i for i in ()), "y": np.arange(4)}, "`y` should not be passed"),
        ({"x": (i for i in ()), "sample_weight": np.arange(4)}, "`sample_weight` should not be passed"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_data_adapter(**arguments)


def test_class_weights():
    for y in (np.array([0, 1, 2, 1]), np.array([[0], [1], [2], [1]]), np.eye(3)[[0, 1, 2, 1]]):
        adapter = get_data_adapter(rows(4), y, class_weight={1: 3.0, 7: 2.0})
        ((_, _, weights),) = collect(adapter)
        assert weights.reshape(-1).tolist() == [1, 3, 1, 3] and weights.dtype == "float32"
    batches = collect(get_data_adapter(iter([(rows(2), np.array([0, 1]))]), class_weight={0: 0.5}))
    assert batches[0][2].tolist() == [0.5, 1]


def test_integer_sample_weights_become_floats():
    ((_, _, weights),) = collect(get_data_adapter(rows(3), np.arange(3), np.array([1, 0, 2])))
    assert weights.dtype == "float32"


def test_packing():
    assert unpack_x_y_sample_weight(1) == (1, None, None)
    assert unpack_x_y_sample_weight([1, 2]) == (1, 2, None)
    assert unpack_x_y_sample_weight((1, 2, 3)) == (1, 2, 3)
    with pytest.raises(ValueError, match="a tuple of 4"):
        unpack_x_y_sample_weight((1, 2, 3, 4))
    assert pack_x_y_sample_weight(1) == 1
    assert pack_x_y_sample_weight([1]) == ([1],)
    assert pack_x_y_sample_weight(1, 2, 3) == (1, 2, 3)


def test_validation_split_takes_the_end():
    (x, y, w), (vx, vy, vw) = train_validation_split(([rows(10)], np.arange(10), None), 0.3)
    assert len(x[0]) == 7 and y.tolist() == list(range(7)) and vy.tolist() == [7, 8, 9] and w is vw is None


@pytest.mark.parametrize("split", [1.0, -0.5, 2, "0.5", True, 0.99])
def test_validation_split_out_of_range(split):
    with pytest.raises(ValueError, match="validation_split"):
        train_validation_split((rows(10), np.arange(10), None), split)


def test_validation_split_of_a_generator():
    with pytest.raises(ValueError, match="only supported for arrays.*Pass `validation_data` instead"):
        train_validation_split((iter([]), None, None), 0.5)


# Sources of batches.


def generator(n, size=2):
    for i in range(n):
        yield rows(size) + i, np.full(size, i)


class Reiterable:
    def __init__(self, n, length=None):
        self.n = n
        self.length = length

    def __iter__(self):
        return generator(self.n)

    def cardinality(self):
        return -2 if self.length is None else self.length


class Dataset(PyDataset):
    def __init__(self, n=5, fail_at=None, **kwargs):
        super().__init__(**kwargs)
        self.n, self.fail_at, self.events, self.threads = n, fail_at, [], set()

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.threads.add(threading.current_thread().name)
        if i == self.fail_at:
            raise OSError("disk on fire")
        return rows(2) + i, np.full(2, i)

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


class Indexable:
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return rows(2), np.full(2, i)


def epochs(stream, n):
    seen = []
    for _ in range(n):
        stream.begin()
        seen.append([int(arrays[1][0]) for _, arrays in stream.epoch()])
        stream.finish()
    stream.close()
    return seen


def test_what_counts_as_a_dataset():
    for x in (generator(1), iter([]), Reiterable(1), Dataset(), Indexable()):
        assert is_dataset(x)
    for x in (None, rows(), [rows()], {"a": rows()}, "text", 3):
        assert not is_dataset(x)


def test_epochs_of_a_generator():
    with pytest.warns(UserWarning, match="ran out of data"):
        assert epochs(EpochStream(get_data_adapter(generator(5)), None), 2) == [[0, 1, 2, 3, 4], []]
    assert epochs(EpochStream(get_data_adapter(generator(6)), 3), 2) == [[0, 1, 2], [3, 4, 5]]
    with pytest.warns(UserWarning, match="ran out of data"):
        assert epochs(EpochStream(get_data_adapter(generator(5)), 3), 2) == [[0, 1, 2], [3, 4]]


@pytest.mark.filterwarnings("error")
def test_epochs_of_an_iterable():
    assert epochs(EpochStream(get_data_adapter(Reiterable(3)), None), 2) == [[0, 1, 2]] * 2
    assert epochs(EpochStream(get_data_adapter(Reiterable(4)), 2), 3) == [[0, 1], [2, 3], [0, 1]]
    assert get_data_adapter(Reiterable(3)).num_batches is None
    assert get_data_adapter(Reiterable(3, length=3)).num_batches == 3
    assert epochs(EpochStream(get_data_adapter(Indexable())), 1) == [[0, 1, 2]]


def test_no_batch_at_all():
    for empty in (generator(0), Reiterable(0), Dataset(0)):
        with pytest.raises(ValueError, match="yielded no batch at all"):
            epochs(EpochStream(get_data_adapter(empty)), 1)


def test_arrays_continue_where_they_stopped():
    y = np.arange(5)
    stream = EpochStream(ArrayAdapter((rows(5), y), 1), 2)
    with pytest.warns(UserWarning, match="ran out of data"):
        assert epochs(stream, 3) == [[0, 1], [2, 3], [4]]


def test_batches_of_lists_and_tensors():
    items = [([[1.0, 2.0]], [3]), (_engine.tensor(np.ones((1, 2), "float32")), np.array([1], "int64"))]
    batches = collect(get_data_adapter(iter(items)))
    assert batches[0][0].dtype == "float32" and batches[0][0].shape == (1, 2)
    assert isinstance(batches[1], tuple)
    adapter = get_data_adapter(Reiterable(3))
    assert len({id(s) for s, _ in adapter.batches()}) == 1


@pytest.mark.parametrize("bad", [None, ("a", "b"), (np.array([None]), np.ones(1))])
def test_bad_batches(bad):
    with pytest.raises(ValueError):
        collect(get_data_adapter(iter([bad])))


@pytest.mark.parametrize("workers", [1, 3])
def test_py_dataset(workers):
    dataset = Dataset(workers=workers, max_queue_size=2)
    stream = EpochStream(get_data_adapter(dataset))
    assert stream.steps == 5
    assert epochs(stream, 2) == [[0, 1, 2, 3, 4]] * 2
    assert dataset.events == ["begin", "end"] * 2
    if workers > 1:
        assert "MainThread" not in dataset.threads
    shuffled = epochs(EpochStream(get_data_adapter(Dataset(20, workers=workers), shuffle=True)), 2)
    assert all(sorted(s) == list(range(20)) for s in shuffled) and shuffled[0] != shuffled[1]


def test_py_dataset_errors_reach_the_caller_and_leave_no_thread():
    dataset = Dataset(50, fail_at=3, workers=2)
    with pytest.raises(OSError, match="disk on fire"):
        collect(get_data_adapter(dataset))
    stream = EpochStream(get_data_adapter(Dataset(1000, workers=2)))
    iterator = stream.epoch()
    next(iterator)
    stream.close()
    for thread in threading.enumerate():
        if thread.name.startswith("fastkeras-data"):
            thread.join(5)
            assert not thread.is_alive()


def test_py_dataset_without_end():
    class Endless(Dataset):
        num_batches = None

        def __len__(self):
            raise AssertionError("not to be called")

    stream = EpochStream(get_data_adapter(Endless()), 4)
    assert epochs(stream, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_py_dataset_must_say_its_length():
    class NoLength(PyDataset):
        def __getitem__(self, i):
            return rows(2)

    with pytest.raises(NotImplementedError, match="must implement __len__"):
        get_data_adapter(NoLength())


def test_py_dataset_in_processes():
    dataset = Dataset(4, workers=2, use_multiprocessing=True)
    assert epochs(EpochStream(get_data_adapter(dataset)), 1) == [[0, 1, 2, 3]]
    assert dataset.threads == set()


def test_py_dataset_that_cannot_be_sent_to_processes():
    dataset = Dataset(4, use_multiprocessing=True)
    dataset.hook = lambda: None
    with pytest.raises(ValueError, match="cannot be pickled"):
        collect(get_data_adapter(dataset))


def test_the_cap_on_steps():
    from fastkeras.core import config

    config.set_max_steps_per_epoch(2)
    try:
        assert epochs(EpochStream(get_data_adapter(Dataset())), 1) == [[0, 1]]
        assert EpochStream(get_data_adapter(Dataset()), 10).steps == 2
    finally:
        config.set_max_steps_per_epoch(None)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "float16", "bool"])
def test_gathered_rows_are_the_rows_asked_for(dtype: str) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 100, (500, 7, 3)).astype(dtype)
    rows = rng.permutation(500)[:300]
    out = np.zeros((400, 7, 3), dtype)
    _engine.gather_rows(source, rows, out)
    np.testing.assert_array_equal(out[:300], source[rows])
    assert not out[300:].any()


def test_gather_rows_refuses_what_does_not_fit() -> None:
    source, out = np.ones((4, 3), "float32"), np.ones((2, 3), "float32")
    with pytest.raises(ValueError, match="row 4 of 4"):
        _engine.gather_rows(source, np.array([0, 4]), out)
    with pytest.raises(ValueError, match="row -1 of 4"):
        _engine.gather_rows(source, np.array([-1]), out)
    with pytest.raises(ValueError, match="expected int64"):
        _engine.gather_rows(source, np.array([0], "int32"), out)
    with pytest.raises(ValueError, match="room for 2 rows"):
        _engine.gather_rows(source, np.array([0, 1, 2]), out)
    with pytest.raises(ValueError, match="room for 2 rows of 12 bytes; expected 1 of 24"):
        _engine.gather_rows(source.astype("float64"), np.array([0]), out)
    with pytest.raises(ValueError):
        _engine.gather_rows(source[:, ::2], np.array([0]), out)


# --- batches that the engine runs by itself


def sum_step(size: int, n: int):
    """A step that adds the sum of a batch to a total, notes its first row, and returns its mean; compiled."""
    total, first = fastkeras.Variable(np.zeros(n, "float32")), fastkeras.Variable(np.zeros(n, "float32"))
    trace = _engine.Trace("sum")
    with trace:
        x = trace.input((size, n), "float32", "x")
        total.assign(total + fastkeras.ops.sum(x, axis=0))
        first.assign(x[0])
        out = fastkeras.ops.mean(x)
    return trace.compile([out]), total, first


@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_that_run_ahead_are_the_ones_that_follow(shuffled: bool) -> None:
    x = np.random.default_rng(1).random((50, 6)).astype("float32")
    step, total, first = sum_step(4, 6)
    order = np.random.default_rng(2).permutation(50) if shuffled else None
    rows_in_order = x if order is None else x[order]
    buffers = [] if order is None else [np.empty((4, 6), "float32")]
    count, (mean,) = _engine.run_ahead(step, [x], order, buffers, 5, 4, 7, 60.0)
    assert count == 7
    np.testing.assert_allclose(np.asarray(total), rows_in_order[5:33].sum(0), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(first), rows_in_order[29])
    np.testing.assert_allclose(float(mean), rows_in_order[29:33].mean(), rtol=1e-6)
    # No batch is begun after the time is over, but one runs always.
    assert _engine.run_ahead(step, [x], order, buffers, 0, 4, 7, 0.0)[0] == 1
    assert _engine.run_ahead(step, [x], order, buffers, 0, 4, 0, 60.0) == (0, [])


def test_running_ahead_refuses_what_does_not_fit() -> None:
    x, buffer = np.ones((10, 6), "float32"), np.empty((4, 6), "float32")
    step, total, _ = sum_step(4, 6)
    order = np.arange(10)
    for arguments, message in (
        (([x], None, [], 0, 4, 3), "3 batches of 4 rows from row 0; there are 10"),
        (([x], None, [], -1, 4, 1), "from -1"),
        (([x], None, [], 0, 0, 1), "of 0 rows"),
        (([x[:, :5]], None, [], 0, 4, 1), "not contiguous"),
        (([np.ones((10, 5), "float32")], None, [], 0, 4, 1), r"expected float32\[4,6\]"),
        (([x.astype("float64")], None, [], 0, 4, 1), r"expected float32\[4,6\]"),
        (([x, x], None, [], 0, 4, 1), "takes 1 inputs; got 2"),
        (([np.float32(1)], None, [], 0, 4, 1), "scalar"),
        (([x], order, [buffer], 0, 4, 3), "order has 10 entries of 8 bytes; expected 12"),
        (([x], order.astype("int32"), [buffer], 0, 4, 1), "expected 4 of int64"),
        (([x], order + 7, [buffer], 0, 4, 1), "row 10 of 10"),
        (([x], order, [buffer[:3]], 0, 4, 1), "buffer 0 has 72 bytes; expected 96"),
    ):
        with pytest.raises(ValueError, match=message):
            _engine.run_ahead(step, *arguments, 1.0)
    assert not np.asarray(total).any()


@pytest.mark.parametrize("steps_per_epoch", [None, 3, 7])
@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("n", [64, 70, 5])
def test_fit_is_the_same_with_and_without_running_ahead(n: int, shuffle: Any, steps_per_epoch: Any) -> None:
    """A callback that looks at batches makes Python run each of them."""

    class Counts(fastkeras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            counts.append(batch)

    x = np.random.default_rng(3).random((n, 6)).astype("float32")
    results = []
    for callbacks in ([], [Counts()]):
        counts: list[int] = []
        fastkeras.utils.set_random_seed(4)
        model = fastkeras.Sequential([fastkeras.Input((6,)), fastkeras.layers.Dense(3)])
        model.compile("adam", "mse", metrics=["mae"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = model.fit(
                x,
                x[:, :3],
                batch_size=8,
                epochs=3,
                verbose=0,
                shuffle=shuffle,
                steps_per_epoch=steps_per_epoch,
                callbacks=callbacks,
            )
        results.append(
            (history.history, [np.asarray(w) for w in model.weights], int(model.optimizer.iterations))
        )
    assert results[0][0] == results[1][0]
    assert results[0][2] == results[1][2] > 0
    assert all(np.array_equal(a, b) for a, b in zip(results[0][1], results[1][1]))
