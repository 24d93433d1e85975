"""Profiler: records some batches of `fit` as a Chrome trace."""

from __future__ import annotations

import os
from typing import Any

from fastkeras import _engine, profiler
from fastkeras.callbacks.callback import Callback


class Profiler(Callback):
    """Records training as a trace for chrome://tracing or Perfetto: each instruction of each step, batch by batch.

    Args:
        path: the file to write.
        batches: (first, last) batch to record, counted from 0 over all epochs; both are recorded. With
            `steps_per_execution`, whole groups are. None records all of the training, validation included.
        max_events: how many events are kept at most; one per instruction of each batch.

    Raises:
        ValueError: if `batches` is not a pair of increasing numbers.

    Example:
        >>> model.fit(x, y, callbacks=[fastkeras.callbacks.Profiler("trace.json", batches=(10, 20))])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batches: tuple[int, int] | None = None,
        max_events: int = 200_000,
    ) -> None:
        super().__init__()
        if batches is not None:
            first, last = batches
            if not 0 <= first <= last:
                raise ValueError(
                    "`batches` must be a pair (first, last) with 0 <= first <= last. Received: "
                    f"batches={batches}"
                )
            # Hooks that a callback does not have are not called.
            self.on_train_batch_begin = self._batch_begin  # type: ignore[method-assign]
            self.on_train_batch_end = self._batch_end  # type: ignore[method-assign]
        self.path = os.fspath(path)
        self.batches = batches
        self.max_events = max_events
        self._earlier = 0  # batches of earlier epochs
        self._last = -1  # the last batch of this epoch that ended
        self._running = self._done = False
        self._begin = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._running:  # left behind by a `fit` that failed
            self._stop()
        open(self.path, "w").close()  # a path that cannot be written is known before training
        self._earlier, self._last, self._done = 0, -1, False
        if self.batches is None:
            self._start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._earlier += self._last + 1
        self._last = -1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._running:
            self._stop()

    def _batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        first, _ = self.batches  # type: ignore[misc]
        if not self._running and not self._done and self._earlier + batch >= first:
            self._start()
        if self._running:
            self._begin = _engine.profiler_now()

    def _batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = batch
        if not self._running:
            return
        number = self._earlier + batch
        _engine.profiler_span(f"batch {number}", "batch", self._begin, _engine.profiler_now())
        if number >= self.batches[1]:  # type: ignore[index]
            self._stop()

    def _start(self) -> None:
        profiler.start(self.max_events)
        self._running = True

    def _stop(self) -> None:
        self._running, self._done = False, True
        profiler.stop(self.path)
