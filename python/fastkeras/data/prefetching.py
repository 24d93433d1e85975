"""Work in the background: threads that compute elements ahead of their consumer.

All of it is one mechanism. A pool of threads takes tasks; a step keeps a bounded number of tasks outstanding and
hands out their results. Whoever iterates owns the threads: they are told to stop, and waited for, when the iteration
ends, fails or is abandoned.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastkeras.data.constants import AUTOTUNE
from fastkeras.data.node import Derived, Element, Node, Run

# How long to wait for a thread that is told to stop in the middle of a user's function.
_PATIENCE_S = 5.0
# Elements that prefetch(AUTOTUNE) holds: one in use, one ready, one being made.
_AUTOTUNED_AHEAD = 2
# With AUTOTUNE, calls faster than this are made without threads: handing an element to a thread and back takes about
# 40 us, and Python code of several threads does not run at the same time anyway.
_WORTH_A_THREAD_S = 200e-6
# Threads are used once so many of so many calls in a row have been slower.
_SLOW_CALLS = 4
_JUDGED_CALLS = 8
# Elements that a thread reads at once from an interleaved dataset: the same price, shared by several.
_LEAST_BLOCK = 8

END = object()
_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


class Cancelled(Exception):
    """Raised in a step whose iteration has been given up; nobody sees it."""


class Task:
    """A call to be made by a thread of a pool."""

    __slots__ = ("function", "argument", "value", "error", "done")

    def __init__(self, function: Callable[[Any], Any], argument: Any) -> None:
        self.function: Callable[[Any], Any] | None = function
        self.argument = argument
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False

    def run(self) -> None:
        """Makes the call; never raises."""
        assert self.function is not None
        try:
            self.value = self.function(self.argument)
        except BaseException as error:  # noqa: B036 - handed to the consumer, whatever it is
            self.error = error
        # What has been computed must not keep its input alive.
        self.function = self.argument = None


class WorkerPool:
    """Threads that run tasks in the order in which they are submitted.

    The threads are daemons, so that a program ends although an iterator is still alive; they are stopped at exit.

    Args:
        workers: greatest number of threads.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        # A garbage collection inside these locked regions may close another step of this very thread: the lock
        # must be one that a thread can take twice.
        lock = threading.RLock()
        self._work = threading.Condition(lock)
        self._ready = threading.Condition(lock)
        self._tasks: collections.deque[Task] = collections.deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopping = False
        _pools.add(self)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Task:
        """Adds a task."""
        task = Task(function, argument)
        with self._work:
            if self._stopping:
                raise Cancelled
            self._tasks.append(task)
            if self._idle >= len(self._tasks):
                self._work.notify()
            elif len(self._threads) < self._workers:
                thread = threading.Thread(target=self._serve, name="fastkeras-data", daemon=True)
                self._threads.append(thread)
                thread.start()
        return task

    def result(self, task: Task) -> Any:
        """Waits for a task and returns its result, or raises its exception."""
        if not task.done:
            with self._ready:
                while not task.done:
                    if self._stopping:
                        raise Cancelled
                    self._ready.wait()
        if task.error is not None:
            try:
                raise task.error
            finally:
                # The exception refers to this frame, which must not refer back to it.
                del task
        return task.value

    def any_done(self, tasks: collections.deque[Task]) -> Task:
        """Waits for one of several tasks and takes it out."""
        with self._ready:
            while True:
                for task in tasks:
                    if task.done:
                        tasks.remove(task)
                        return task
                if self._stopping:
                    raise Cancelled
                self._ready.wait()

    def _serve(self) -> None:
        while True:
            with self._work:
                self._idle += 1
                while not self._tasks and not self._stopping:
                    self._work.wait()
                self._idle -= 1
                if self._stopping:
                    return
                task = self._tasks.popleft()
            task.run()
            with self._ready:
                task.done = True
                self._ready.notify_all()
            del task

    def signal(self) -> None:
        """Tells the threads to stop, without waiting for them."""
        with self._work:
            self._stopping = True
            self._work.notify_all()
            self._ready.notify_all()

    def close(self) -> bool:
        """Stops the threads; returns whether all have ended.

        A thread in the middle of a user's function ends after it; one that takes too long is left to end by itself.
        """
        self.signal()
        ended = True
        for thread in self._threads:
            # A garbage collection may close a pool in one of its own threads.
            if thread is threading.current_thread():
                ended = False
            else:
                thread.join(_PATIENCE_S)
                ended = ended and not thread.is_alive()
        return ended


def _close_all() -> None:
    for pool in list(_pools):
        pool.signal()
    for pool in list(_pools):
        pool.close()


atexit.register(_close_all)


def worker_count(num_parallel_calls: int | None) -> int:
    """The number of threads for `num_parallel_calls`; 1 means none."""
    if num_parallel_calls is None:
        return 1
    if num_parallel_calls != AUTOTUNE:
        return num_parallel_calls
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel(
    run: Run,
    function: Callable[[Any], Any],
    inputs: Iterable[Any],
    workers: int,
    ordered: bool = True,
    ahead: int | None = None,
) -> Iterator[Any]:
    """Yields `function(x)` for each input, computed by threads.

    Args:
        run: the pass that owns the threads.
        function: what to compute.
        inputs: iterated in the consumer's thread.
        workers: number of threads.
        ordered: whether results come in the order of the inputs.
        ahead: number of tasks outstanding, default twice `workers`.
    """
    pool = run.pool(workers)
    ahead = 2 * workers if ahead is None else ahead
    pending: collections.deque[Task] = collections.deque()
    failure: Exception | None = None
    source = iter(inputs)

    def take() -> Any:
        return pool.result(pending.popleft() if ordered else pool.any_done(pending))

    try:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except Exception as error:
                # The results before it come first.
                failure = error
                break
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield take()
        while pending:
            yield take()
        if failure is not None:
            raise failure
    finally:
        run.release(pool)


class Autotuner:
    """Decides whether a step is slow enough for threads; what it has found holds for later passes as well."""

    def __init__(self) -> None:
        self._is_slow = False

    def results(
        self,
        run: Run,
        function: Callable[[Any], Any],
        inputs: Iterator[Any],
        workers: int,
        ordered: bool = True,
        ahead: int | None = None,
    ) -> Iterator[Any]:
        """Yields `function(x)` for each input: without threads until several calls have been slow."""
        slow = count = 0
        while not self._is_slow:
            for item in inputs:
                start = time.perf_counter()
                result = function(item)
                slow += time.perf_counter() - start > _WORTH_A_THREAD_S
                count += 1
                yield result
                if slow == _SLOW_CALLS:
                    self._is_slow = True
                    break
                if count % _JUDGED_CALLS == 0:
                    slow = 0
            else:
                return
        yield from parallel(run, function, inputs, workers, ordered, ahead)


def map_elements(
    run: Run,
    function: Callable[[Any], Any],
    inputs: Iterable[Any],
    num_parallel_calls: int | None,
    autotuner: Autotuner,
    ordered: bool = True,
) -> Iterator[Any]:
    """Yields `function(x)` for each input, in threads if `num_parallel_calls` asks for several.

    With AUTOTUNE, the autotuner says whether threads pay.
    """
    workers = worker_count(num_parallel_calls)
    if workers <= 1 or run.probing:
        return map(function, inputs)
    if num_parallel_calls == AUTOTUNE:
        return autotuner.results(run, function, iter(inputs), workers, ordered)
    return parallel(run, function, inputs, workers, ordered)


class Prefetch(Derived):
    """Elements made ahead of time by a thread.

    Args:
        source: the node to read.
        buffer_size: number of elements to hold; AUTOTUNE for a few, if making them takes long enough for a thread.
    """

    def __init__(self, source: Node, buffer_size: int) -> None:
        super().__init__(source)
        self.buffer_size = buffer_size
        self._autotuner = Autotuner()

    def elements(self, run: Run) -> Iterator[Element]:
        source = self.source.elements(run)
        if run.probing or self.buffer_size == 0:
            yield from source
            return

        def pull(_: Any) -> Any:
            return next(source, END)

        # One thread, so that pulls follow each other.
        pulls = itertools.repeat(None)
        if self.buffer_size == AUTOTUNE:
            pulled = self._autotuner.results(run, pull, pulls, workers=1, ahead=_AUTOTUNED_AHEAD)
        else:
            pulled = parallel(run, pull, pulls, workers=1, ahead=self.buffer_size)
        with contextlib.closing(pulled):  # type: ignore[type-var]
            for element in pulled:
                if element is END:
                    return
                yield element


def read_ahead(pool: WorkerPool, source: Iterator[Any], block: int) -> Iterator[Any]:
    """Returns an iterator that reads another in the threads of a pool, a block of elements in advance."""
    block = max(block, _LEAST_BLOCK)

    def read(_: Any) -> tuple[list[Any], Exception | None]:
        elements: list[Any] = []
        try:
            for element in itertools.islice(source, block):
                elements.append(element)
        except Exception as error:
            return elements, error
        return elements, None

    # Reading begins now, not when the first element is asked for.
    return _blocks(pool, read, pool.submit(read, None), block)


def _blocks(pool: WorkerPool, read: Callable[[Any], Any], task: Task, block: int) -> Iterator[Any]:
    while True:
        elements, failure = pool.result(task)
        is_last = failure is not None or len(elements) < block
        if not is_last:
            task = pool.submit(read, None)
        yield from elements
        if failure is not None:
            raise failure
        if is_last:
            return
