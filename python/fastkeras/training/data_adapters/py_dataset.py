"""PyDataset: batches by index, computed in Python, ahead of time in threads or processes if asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastkeras.training.data_adapters.adapter import Batch, IterableAdapter, prefetched


class PyDataset:
    """Base class for datasets written in Python that return whole batches by index.

    Subclasses implement `__getitem__(index)`, which returns a batch `(x, y)` or `(x, y, sample_weight)`, and
    `__len__`, the number of batches. `on_epoch_begin` and `on_epoch_end` may be implemented to change the
    dataset between epochs.

    Args:
        workers: number of threads or processes that compute batches ahead of the training loop.
        use_multiprocessing: whether the workers are processes. The dataset is then pickled and sent to each,
            and the program's main script must be guarded by `if __name__ == "__main__":`.
        max_queue_size: greatest number of batches computed ahead.

    Example:
        ```python
        class Rows(fastkeras.utils.PyDataset):
            def __init__(self, x, y, batch_size, **kwargs):
                super().__init__(**kwargs)
                self.x, self.y, self.batch_size = x, y, batch_size

            def __len__(self):
                return -(-len(self.x) // self.batch_size)

            def __getitem__(self, i):
                rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
                return self.x[rows], self.y[rows]

        model.fit(Rows(x, y, 32, workers=4), epochs=3)
        ```
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._max_queue_size = max_queue_size

    @property
    def workers(self) -> int:
        """The number of workers."""
        return getattr(self, "_workers", 1)

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = value

    @property
    def use_multiprocessing(self) -> bool:
        """Whether the workers are processes rather than threads."""
        return getattr(self, "_use_multiprocessing", False)

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._use_multiprocessing = value

    @property
    def max_queue_size(self) -> int:
        """The greatest number of batches computed ahead."""
        return getattr(self, "_max_queue_size", 10)

    @max_queue_size.setter
    def max_queue_size(self, value: int) -> None:
        self._max_queue_size = value

    def __getitem__(self, index: int) -> Any:
        """Returns the batch of this index."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement __getitem__(index), which returns a batch."
        )

    @property
    def num_batches(self) -> int | None:
        """The number of batches, `len(self)`; override it to return None for a dataset without end."""
        try:
            return len(self)  # type: ignore[arg-type]
        except TypeError:
            raise NotImplementedError(
                f"{type(self).__name__} must implement __len__(), the number of batches (or override "
                "`num_batches` to return None if it has no end)."
            ) from None

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


class PyDatasetAdapter(IterableAdapter):
    """Batches of a PyDataset, or of any object with `__getitem__` and `__len__`.

    Args:
        dataset: the dataset.
        shuffle: whether to visit the batches in a new random order on every pass.
        class_weight: weights by class to turn into sample weights, or None.
    """

    def __init__(
        self, dataset: Any, shuffle: bool | str = False, class_weight: dict[int, float] | None = None
    ) -> None:
        super().__init__((), class_weight)
        self._dataset = dataset
        self._shuffle = bool(shuffle)
        self._read_length()

    def _read_length(self) -> None:
        dataset = self._dataset
        self.num_batches = dataset.num_batches if hasattr(dataset, "num_batches") else len(dataset)

    def batches(self) -> Iterator[Batch]:
        for item in self._items():
            yield self.standardize(item)

    def _items(self) -> Iterator[Any]:
        # A dataset may change its length between epochs.
        self._read_length()
        dataset, n = self._dataset, self.num_batches
        indices: Any = itertools.count() if n is None else range(n)
        if self._shuffle and n is not None:
            indices = np.random.permutation(n).tolist()
        workers = getattr(dataset, "workers", 1)
        processes = getattr(dataset, "use_multiprocessing", False)
        if not processes and workers <= 1:
            for i in indices:
                yield dataset[i]
            return
        ahead = max(1, getattr(dataset, "max_queue_size", 10))
        if not processes:
            from concurrent.futures import ThreadPoolExecutor

            threads = ThreadPoolExecutor(workers, thread_name_prefix="fastkeras-data")
            yield from prefetched(dataset.__getitem__, indices, threads, ahead)
            return
        yield from _from_processes(dataset, indices, max(1, workers), ahead)

    def on_epoch_begin(self) -> None:
        _call_if_present(self._dataset, "on_epoch_begin")

    def on_epoch_end(self) -> None:
        _call_if_present(self._dataset, "on_epoch_end")


# The dataset of a worker process, set when the process starts.
_worker_dataset: Any = None


def _start_worker(dataset: Any) -> None:
    global _worker_dataset
    _worker_dataset = dataset


def _worker_item(index: int) -> Any:
    return _worker_dataset[index]


def _from_processes(dataset: Any, indices: Any, workers: int, ahead: int) -> Iterator[Any]:
    import multiprocessing
    import pickle
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    try:
        pickle.dumps(dataset)
    except Exception as error:
        raise ValueError(
            f"`use_multiprocessing=True` sends the dataset to other processes, but {type(dataset).__name__} "
            f"cannot be pickled: {error}. Keep open files and lambdas out of it, or use threads "
            "(`use_multiprocessing=False`)."
        ) from error
    # Spawned, not forked: a fork of a process with running threads may hang.
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(dataset,),
    )
    try:
        yield from prefetched(_worker_item, indices, executor, ahead)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker process of the dataset ended before it returned its batch. If the main script is not "
            "guarded by "
            '`if __name__ == "__main__":`, add that guard; otherwise the worker has crashed or run out of '
            "memory."
        ) from error


def _call_if_present(obj: Any, method: str) -> None:
    function: Callable[[], None] | None = getattr(obj, method, None)
    if function is not None:
        function()
