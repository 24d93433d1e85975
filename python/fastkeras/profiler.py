"""The profiler: when each kernel ran, on which thread, how fast, as a Chrome trace for chrome://tracing or Perfetto.

`start()` and `stop(path)`, or `with profile(path)`, record what the whole process runs in between: every instruction
of every compiled step with its layer, implementation, shapes and rates, and the compiler's passes. In `fit`, use
`fastkeras.callbacks.Profiler`. ``FASTKERAS_PROFILE=trace.json`` records a whole program without changing it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from fastkeras import _engine

MAX_EVENTS = 200_000


def start(max_events: int = MAX_EVENTS) -> None:
    """Begins to record.

    Args:
        max_events: how many events are kept; further ones are counted in the trace as dropped. One takes about 32 bytes
            of memory, and 400 in the file.

    Raises:
        ValueError: if the profiler is running already.

    Example:
        >>> fastkeras.profiler.start()
        >>> model.predict(x)
        >>> fastkeras.profiler.stop("trace.json")
    """
    if isinstance(max_events, bool) or not isinstance(max_events, int) or max_events < 1:
        raise ValueError(f"`max_events` must be a positive integer. Received: {max_events!r}")
    _engine.profiler_start(max_events)


def stop(path: str | os.PathLike[str] | None = None) -> None:
    """Ends recording and writes the trace.

    Args:
        path: the file to write; None discards what was recorded.

    Raises:
        ValueError: if the profiler is not running, or the file cannot be written.
    """
    _engine.profiler_stop("" if path is None else os.fspath(path))


def is_running() -> bool:
    """Whether `start` was called and `stop` was not."""
    return _engine.profiler_started()


@contextlib.contextmanager
def profile(path: str | os.PathLike[str], max_events: int = MAX_EVENTS) -> Iterator[None]:
    """Records what runs inside `with`, and writes it to `path` at the end, also after an exception.

    Args:
        path: the file to write.
        max_events: see `start`.

    Raises:
        OSError: at once, if the file cannot be written.
        ValueError: if the profiler is running already.

    Example:
        >>> with fastkeras.profiler.profile("trace.json"):
        ...     model.fit(x, y)
    """
    if is_running():
        raise ValueError(
            "The profiler is running already: stop it first, or leave the `with` around this one."
        )
    open(path, "w").close()
    start(max_events)
    try:
        yield
    finally:
        stop(path)


class annotate:  # noqa: N801 - reads as a function
    """Notes how long the body of a `with` takes, under a name of your own. Costs nothing while nothing is recorded.

    Args:
        name: what the trace shows.

    Example:
        >>> with fastkeras.profiler.annotate("augment"):
        ...     x = augment(x)
    """

    __slots__ = ("_name", "_begin")

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin = 0

    def __enter__(self) -> annotate:
        self._begin = _engine.profiler_now() if _engine.profiler_enabled() else 0
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._begin:
            _engine.profiler_span(self._name, "annotation", self._begin, _engine.profiler_now())


__all__ = ["MAX_EVENTS", "annotate", "is_running", "profile", "start", "stop"]
