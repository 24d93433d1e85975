"""Threads and forks: one model used by many threads, the interpreter free while a plan runs, a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine


def _model(classes: int = 5) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes),
        ]
    )
    model.compile("sgd", "mse")
    return model


def _in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of work(0), work(1) ..., started together; an exception of any of them is raised here."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(i: int) -> None:
        try:
            barrier.wait(30)
            results[i] = work(i)
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "a thread hangs"
    if errors:
        raise errors[0]
    return results


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- one model, many threads ----------


@pytest.mark.parametrize("traced_before", [True, False])
def test_two_threads_predict_with_one_model(rng: np.random.Generator, traced_before: bool) -> None:
    model = _model()
    batches = [rng.random((16, 20), dtype=np.float32) for _ in range(2)]
    expected = [_model_in_numpy(model, x) for x in batches]
    if traced_before:
        model.predict(batches[0], verbose=0)

    def work(i: int) -> None:
        for _ in range(200):
            np.testing.assert_allclose(
                model.predict(batches[i], verbose=0), expected[i], rtol=1e-4, atol=1e-5
            )

    _in_threads(2, work)


def test_ten_threads_call_one_model(rng: np.random.Generator) -> None:
    model = _model()
    # Different numbers of rows: every thread records and compiles a program of its own.
    batches = [rng.random((3 + i % 4, 20), dtype=np.float32) for i in range(10)]
    expected = [_model_in_numpy(model, x) for x in batches]

    def work(i: int) -> None:
        for _ in range(50):
            np.testing.assert_allclose(np.asarray(model(batches[i])), expected[i], rtol=1e-4, atol=1e-5)

    _in_threads(10, work)


def test_predict_beside_training(rng: np.random.Generator) -> None:
    model = _model()
    x, y = rng.random((32, 20), dtype=np.float32), rng.random((32, 5), dtype=np.float32)
    model.train_on_batch(x, y)
    stop = threading.Event()

    def work(i: int) -> int:
        if i == 0:
            for _ in range(300):
                model.train_on_batch(x, y)
            stop.set()
            return 0
        seen = 0
        while not stop.is_set():
            out = model.predict(x, verbose=0)
            assert out.shape == (32, 5)
            assert np.isfinite(out).all()
            seen += 1
        return seen

    before = float(model.evaluate(x, y, verbose=0))
    assert _in_threads(3, work)[1] > 0
    assert float(model.evaluate(x, y, verbose=0)) < before


def test_variables_are_read_whole_while_they_are_updated() -> None:
    """All elements of both variables always have one value; a reader must never see half of an update."""
    cells = [_engine.Cell(np.zeros(300_000, np.float32)) for _ in range(2)]
    with _engine.Trace() as trace:
        for cell in cells:
            cell.assign(cell.value + 1.0)
        update = trace.compile([])
    with _engine.Trace() as trace:
        ends = [_engine.call(op, c.value, axes=[0]) for c in cells for op in ("reduce_min", "reduce_max")]
        read = trace.compile(ends)
    stop = threading.Event()

    def work(i: int) -> None:
        try:
            if i == 0:
                for _ in range(100):
                    update()
            while i == 1 and not stop.is_set():
                assert len({float(t) for t in read()}) == 1
            while i == 2 and not stop.is_set():
                value = cells[0].value.numpy()
                assert value.min() == value.max()
        finally:
            stop.set()

    _in_threads(3, work)
    assert [float(c.value[0]) for c in cells] == [100.0, 100.0]


def test_threads_that_train_their_own_models(rng: np.random.Generator) -> None:
    x, y = rng.random((32, 20), dtype=np.float32), rng.random((32, 5), dtype=np.float32)

    def work(i: int) -> list[float]:
        model = _model()
        for k, v in enumerate(model.trainable_variables):
            v.assign(np.random.default_rng(k).normal(size=v.shape).astype(np.float32) / 10)
        return [float(model.train_on_batch(x, y)) for _ in range(20)]

    losses = _in_threads(4, work)
    assert losses[0][-1] < losses[0][0]
    for other in losses[1:]:
        assert other == losses[0]


def test_tensors_pass_between_threads() -> None:
    """A value recorded by one thread and not yet computed may be used by another."""
    handed: list[Any] = [_engine.tensor(np.full(8, float(i), np.float32)) for i in range(8)]

    def work(i: int) -> None:
        for _ in range(100):
            neighbour = handed[(i + 1) % 8]
            handed[i] = _engine.call("minimum", neighbour * 0.5 + handed[i] * 0.5, 100.0)

    _in_threads(8, work)
    for t in handed:
        value = t.numpy()
        assert np.isfinite(value).all()
        assert (0 <= value).all()
        assert (value <= 7).all()


def _model_in_numpy(model: keras.Model, x: np.ndarray) -> np.ndarray:
    w1, b1, w2, b2 = (np.asarray(v) for v in model.trainable_variables)
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


# --- the interpreter's lock ----------


def test_other_threads_run_during_a_long_product() -> None:
    n = 1600
    a = _engine.tensor(np.ones((n, n), np.float32))
    for _ in range(2):
        _engine.call("matmul", a, a).numpy()  # compiled, and its memory mapped, before it is timed
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        for _ in range(10):  # until a product was long enough to tell
            product = a
            for _ in range(4):
                product = _engine.call("matmul", product, a) * 1e-3
            start = time.perf_counter()
            _engine.flush()  # one plan, one call into the engine
            end = time.perf_counter()
            inside = sum(start + 0.1 * (end - start) < t < end - 0.1 * (end - start) for t in ticks)
            if inside >= 3:
                return
    finally:
        stop.set()
        thread.join(10)
    pytest.fail(f"another thread ran {inside} times during a product of {end - start:.3f} s")


# --- forks ----------

_FORK = """
import os, sys
import numpy as np
import fastkeras as keras
from fastkeras import _engine

threads = int(sys.argv[1])
_engine.set_config("num_threads", threads)
x = np.ones((256, 512), np.float32)
model = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, activation="relu"), keras.layers.Dense(5)])
model.compile("adam", "mse")
y = np.ones((256, 5), np.float32)
model.train_on_batch(x, y)
expected = model.predict(x, verbose=0)
pending = keras.ops.exp(keras.ops.convert_to_tensor(x))
child = os.fork()
if child == 0:
    status = 1
    try:
        if threads > 1:  # the team's threads stayed in the parent: a kernel made for them says so, or does without
            try:
                model.predict(x, verbose=0)
            except ValueError as error:
                assert "fork" in str(error) and "FASTKERAS_NUM_THREADS" in str(error), error
                os._exit(0)
        assert np.allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)
        assert np.allclose(pending, np.e)
        model.train_on_batch(x, y)
        assert np.isfinite(np.asarray(model(x))).all()
        status = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, "the child failed"
assert np.array_equal(model.predict(x, verbose=0), expected), "the parent is affected"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_child_computes_or_says_why_not(threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FORK), str(threads)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
