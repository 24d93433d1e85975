"""Threads: results, exceptions, and that threads end with the iteration they work for (see conftest.py too)."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest
from dataset_values import data_threads, numbers, slow_path, values
from fastkeras import ops
from fastkeras.data import AUTOTUNE, Dataset, Options, TensorSpec, prefetching
from fastkeras.data.node import Run


def endless(log=None):
    def generator():
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            if log is not None:
                log.append("closed")

    return Dataset.from_generator(generator, "int64")


# Every step that works in threads.
STEPS = {
    "prefetch": lambda d: d.prefetch(2),
    "map": lambda d: d.map(lambda x: x * 1, num_parallel_calls=3),
    "unordered map": lambda d: d.map(lambda x: x * 1, num_parallel_calls=3, deterministic=False),
    "batch": lambda d: d.batch(1, num_parallel_calls=2).unbatch(),
    "interleave": lambda d: d.interleave(lambda x: Dataset.from_tensors(x), 3, num_parallel_calls=2),
    "prefetch over map": lambda d: d.map(lambda x: x * 1, num_parallel_calls=2).prefetch(3),
    "map over prefetch": lambda d: d.prefetch(3).map(lambda x: x * 1, num_parallel_calls=2),
    "prefetch twice": lambda d: d.prefetch(1).prefetch(1),
}


@pytest.fixture(params=STEPS)
def step(request):
    return STEPS[request.param]


def test_elements_are_the_same(step):
    dataset = step(Dataset.range(100))
    assert sorted(values(dataset)) == list(range(100))
    assert len(values(dataset.take(5))) == 5
    assert sorted(values(dataset.repeat(2))) == sorted(list(range(100)) * 2)
    assert values(step(Dataset.range(0))) == []


def test_threads_are_used_and_end(step):
    iterator = iter(step(endless()))
    next(iterator)
    assert data_threads()
    iterator.close()
    assert not data_threads()


def test_abandoned_iterators_end_their_threads(step):
    log = []
    iterator = iter(step(endless(log)))
    for _ in range(5):
        next(iterator)
    assert data_threads() and log == []
    del iterator
    gc.collect()
    assert not data_threads() and log == ["closed"]


def test_a_loop_that_breaks_ends_the_threads(step):
    for i, _ in enumerate(step(endless())):
        if i == 3:
            break
    gc.collect()
    assert not data_threads()


def test_iterators_in_cycles_end_their_threads(step):
    class Holder:
        pass

    holder = Holder()
    holder.iterator, holder.itself = iter(step(endless())), holder
    next(holder.iterator)
    del holder
    gc.collect()
    assert not data_threads()


def test_threads_end_although_the_exception_is_kept(step):
    """The traceback holds the frame that reads both datasets, and so the iterator of the one that goes on."""

    def fails(x):
        if x == 20:
            raise RuntimeError("twenty")
        return x

    both = [step(endless()), Dataset.range(100).map(fails)]
    dataset = Dataset.choose_from_datasets(both, Dataset.range(2).repeat())
    with pytest.raises(RuntimeError, match="twenty") as caught:
        values(dataset)
    assert not data_threads()
    assert caught.value.__traceback__ is not None


def test_errors_come_after_the_elements_before_them(step):
    def generator():
        yield from range(7)
        raise OSError("disk")

    iterator = step(Dataset.from_generator(generator, "int64")).as_numpy_iterator()
    got = []
    with pytest.raises(OSError, match="disk"):
        for x in iterator:
            got.append(int(x))
    assert sorted(got) == list(range(7))
    with pytest.raises(StopIteration):
        next(iterator)


def test_errors_of_functions_in_threads():
    def function(x):
        if x == 5:
            raise KeyError("five")
        return x

    for deterministic in (True, False):
        dataset = Dataset.range(9).map(function, num_parallel_calls=2, deterministic=deterministic)
        with pytest.raises(KeyError, match="five"):
            values(dataset)
    iterator = Dataset.range(9).map(function, num_parallel_calls=4).prefetch(2).as_numpy_iterator()
    assert [int(next(iterator)) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five") as caught:
        next(iterator)
    # The traceback leads to the user's function.
    assert any("function" in frame.name for frame in traceback.extract_tb(caught.value.__traceback__))


def test_functions_run_at_the_same_time():
    barrier = threading.Barrier(3, timeout=20)
    # Passes only if three threads are inside at once.
    assert len(values(Dataset.range(9).map(lambda x: barrier.wait() >= 0, num_parallel_calls=3))) == 9


def test_no_more_threads_than_asked_for():
    names, inside, most, lock = set(), [0], [0], threading.Lock()

    def function(x):
        with lock:
            names.add(threading.get_ident())
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        with lock:
            inside[0] -= 1
        return x

    assert values(Dataset.range(30).map(function, num_parallel_calls=3)) == list(range(30))
    assert len(names) == 3 and most[0] <= 3 and threading.get_ident() not in names


def test_one_call_at_a_time_needs_no_thread():
    ident = []
    values(Dataset.range(5).map(lambda x: ident.append(threading.get_ident()) or x, num_parallel_calls=1))
    assert set(ident) == {threading.get_ident()}


def slowly(x):
    time.sleep(0.002)
    return threading.get_ident()


def test_autotuned_map_uses_threads_for_slow_functions_only():
    here = threading.get_ident()
    dataset = Dataset.range(20).map(slowly, num_parallel_calls=AUTOTUNE)
    idents = values(dataset)
    assert idents[:3] == [here] * 3 and here not in idents[8:]
    # What was found out holds for the next pass.
    assert here not in values(dataset)
    quick = Dataset.range(50).map(lambda x: threading.get_ident(), num_parallel_calls=AUTOTUNE)
    assert set(values(quick)) == {here}


def test_autotuned_prefetch_uses_a_thread_for_slow_elements_only():
    here = threading.get_ident()
    idents = values(Dataset.range(20).map(slowly).prefetch(AUTOTUNE))
    assert idents[:3] == [here] * 3 and here not in idents[8:] and len(set(idents)) == 2
    quick = Dataset.range(50).map(lambda x: threading.get_ident()).prefetch(AUTOTUNE)
    assert set(values(quick)) == {here}


def test_an_occasional_slow_call_starts_no_threads():
    here = threading.get_ident()

    def function(x):
        if x % 10 == 0:
            time.sleep(0.002)
        return threading.get_ident()

    assert set(values(Dataset.range(60).map(function, num_parallel_calls=AUTOTUNE))) == {here}


def test_the_order_is_kept_unless_told_otherwise():
    """The first call waits until the second is done, or until its result has been handed out."""

    def read(dataset_of, is_ordered):
        event = threading.Event()

        def function(x):
            if x == 0:
                assert event.wait(20)
            elif is_ordered:
                event.set()
            return x

        iterator = dataset_of(function).as_numpy_iterator()
        first = next(iterator)
        event.set()
        return [first, *iterator]

    def parallel(deterministic=None):
        return lambda function: Dataset.range(2).map(function, 2, deterministic)

    options = Options()
    options.deterministic = False
    assert read(parallel(), True) == [0, 1]
    assert read(parallel(False), False) == [1, 0]
    assert read(lambda f: parallel()(f).with_options(options), False) == [1, 0]
    assert read(lambda f: parallel(True)(f).with_options(options), True) == [0, 1]


def reaches(pulled, n):
    """Whether a list gets that long, and no longer."""
    deadline = time.monotonic() + 20
    while len(pulled) < n and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    return len(pulled) == n


def test_prefetch_is_bounded():
    pulled = []
    dataset = Dataset.range(100).map(lambda x: pulled.append(1) or x).prefetch(3)
    iterator = iter(dataset)
    next(iterator)
    # The one handed out, three in the buffer.
    assert reaches(pulled, 4)
    next(iterator)
    assert reaches(pulled, 5)
    iterator.close()


def test_parallel_map_is_bounded():
    pulled = []
    dataset = Dataset.range(100).map(lambda x: pulled.append(1) or x).map(lambda x: x, num_parallel_calls=2)
    iterator = iter(dataset)
    next(iterator)
    assert len(pulled) <= 5
    iterator.close()


def test_prefetch_works_ahead():
    ready = threading.Event()

    def function(x):
        if x == 1:
            ready.set()
        return x

    iterator = iter(Dataset.range(3).map(function).prefetch(1))
    next(iterator)
    # Nobody has asked for the second element yet.
    assert ready.wait(20)
    iterator.close()


def test_prefetch_of_nothing_ahead_needs_no_thread():
    ident = []
    dataset = Dataset.range(3).map(lambda x: ident.append(threading.get_ident()) or x).prefetch(0)
    assert values(dataset) == [0, 1, 2] and set(ident) == {threading.get_ident()}


def test_engine_functions_in_threads():
    x = np.random.default_rng(0).random((60, 5)).astype("float32")
    dataset = Dataset.from_tensor_slices(x).map(lambda row: ops.softmax(row * 2), num_parallel_calls=4)
    expected = np.exp(2 * x) / np.exp(2 * x).sum(1, keepdims=True)
    np.testing.assert_allclose(np.stack(list(dataset.as_numpy_iterator())), expected, rtol=1e-5)


def test_iterators_in_several_threads():
    dataset = slow_path(numbers(200)).map(lambda x: x + 1, num_parallel_calls=2).batch(10).prefetch(2)
    results, expected = {}, values(dataset)

    def read(i):
        results[i] = values(dataset)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert all(results[i] == expected for i in range(4))


def test_closing_does_not_wait_for_all_that_was_asked_for():
    """One call is under way when the iteration is given up; those that wait for a thread are never made."""
    calls = []

    def function(x):
        calls.append(int(x))
        time.sleep(0.02)
        return x

    iterator = iter(Dataset.range(1000).map(function, num_parallel_calls=2))
    next(iterator)
    iterator.close()
    n = len(calls)
    assert n < 10 and not data_threads()
    time.sleep(0.1)
    assert len(calls) == n


def test_a_source_that_never_answers_does_not_hang_its_consumer(monkeypatch):
    monkeypatch.setattr(prefetching, "_PATIENCE_S", 0.05)
    release = threading.Event()

    def generator():
        yield 1
        release.wait(20)

    iterator = iter(Dataset.from_generator(generator, "int32").prefetch(1))
    assert int(next(iterator)) == 1
    start = time.monotonic()
    iterator.close()
    assert time.monotonic() - start < 5
    assert data_threads()
    # It ends by itself when its element has come.
    release.set()


def test_a_step_that_waits_for_another_is_told_to_stop(monkeypatch):
    monkeypatch.setattr(prefetching, "_PATIENCE_S", 0.05)
    release, inside = threading.Event(), []

    def function(x):
        if x > 0:
            inside.append(x)
            release.wait(20)
        return x

    iterator = iter(Dataset.range(9).map(function, num_parallel_calls=2).prefetch(1))
    next(iterator)
    assert reaches(inside, 2) and len(data_threads()) == 3
    iterator.close()
    # The two that are inside the function; the one that waited for their results is gone.
    assert len(data_threads()) == 2
    release.set()


def test_a_pool_closed_in_its_own_thread_does_not_wait_for_itself():
    run = Run()
    pool = run.pool(1)
    task = pool.submit(lambda _: pool.close(), None)
    deadline = time.monotonic() + 20
    while not task.done and time.monotonic() < deadline:
        time.sleep(0.01)
    assert task.done and task.value is False


def test_steps_reached_while_stopping_start_no_threads():
    run = Run()
    run.close()
    with pytest.raises(prefetching.Cancelled):
        run.pool(1).submit(lambda _: None, None)
    assert not data_threads()


def test_a_program_ends_although_an_iterator_is_alive():
    program = """
import fastkeras as keras
signature = keras.data.TensorSpec((), "int64")
dataset = keras.data.Dataset.random().map(lambda x: x * 2, num_parallel_calls=2).prefetch(2)
iterator = iter(dataset)
next(iterator)
print("end")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")


def test_importing_starts_no_thread():
    program = "import threading, fastkeras; print(threading.active_count())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stdout == "1\n"


def test_generators_with_signatures_in_a_thread():
    spec = TensorSpec((None,), "float32")
    dataset = Dataset.from_generator(lambda: ([i] * i for i in range(4)), output_signature=spec)
    assert values(dataset.padded_batch(2).prefetch(AUTOTUNE)) == [[[0], [1]], [[2, 2, 0], [3, 3, 3]]]
