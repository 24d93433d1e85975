"""The progress bar of `fit`, `evaluate` and `predict`, in the look of Keras 3.

Three kinds of output: a terminal (or notebook) gets a bar redrawn in place; a file or pipe gets one line when
    the
target is reached, because redrawn lines fill logs; `verbose=2` always gets that one line. Colours are left
out when NO_COLOR is set, and line-drawing glyphs when the stream cannot encode them.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastkeras.utils import io_utils


class Progbar:
    """Displays a progress bar.

    Values are averaged over the steps before they are shown, except those named in `stateful_metrics` (or, if
    `stateless_metrics` is given, those not named in it).

    Args:
        target: total number of steps, None if unknown.
        width: width of the bar in characters.
        verbose: 0 (silent), 1 (bar), 2 (one line at the end).
        interval: least time between two redraws, in seconds.
        stateful_metrics: names of values shown as they are.
        stateless_metrics: names of values averaged over the steps.
        unit_name: what a step is called, usually `"step"` or `"sample"`.

    Example:
        >>> bar = Progbar(3)
        >>> for i in range(3):
        ...     bar.update(i + 1, [("loss", 0.5)])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Both `stateful_metrics` and `stateless_metrics` were passed to Progbar; each implies the "
                f"other. Pass only one. Received: stateful_metrics={stateful_metrics}, "
                f"stateless_metrics={stateless_metrics}"
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self.finalized = False

        self._averages: dict[str, tuple[float, int] | None] = {}
        self._latest: dict[str, Any] = {}
        self._seen = 0
        self._start = time.perf_counter()
        self._last_draw = -math.inf
        self._first_step_end: float | None = None
        self._drawn_chars = 0
        stream = sys.stdout
        self._redraws = can_redraw(stream)
        # Whether anything is drawn before the last step.
        self._live = verbose == 1 and self._redraws
        self._colour = self._redraws and "NO_COLOR" not in os.environ
        self._full, self._empty = _bar_glyphs(stream, self._colour)

    def wants_update(self) -> bool:
        """Whether an update now, before the last step, would be drawn: one clock reading, for inner loops."""
        if self._first_step_end is None:
            self._first_step_end = time.perf_counter()
        elif not self._live:
            return False
        return self._live and time.perf_counter() - self._last_draw >= self.interval

    def update(
        self, current: int, values: Sequence[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Shows that `current` steps are done.

        Args:
            current: number of steps done.
            values: (name, value) pairs to show; a value is a scalar or an array (its mean is shown).
            finalize: whether these are the last values; by default, whether `current` has reached the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._record(current, values or (), finalize)
        self._seen = current
        now = time.perf_counter()
        if self._first_step_end is None and current >= 1:
            self._first_step_end = now
        if finalize:
            self.finalized = True
        if self.verbose == 0:
            return
        if not finalize and (not self._live or now - self._last_draw < self.interval):
            return
        self._last_draw = now
        elapsed = now - self._start
        per_step = self._time_per_step(current, now)
        if self.verbose == 1:
            self._draw_bar(current, elapsed, per_step, finalize)
        else:
            count = f"{current}/{self.target}" if self.target is not None else f"{current}/Unknown"
            io_utils.print_msg(
                f"{count} - {elapsed:.0f}s - "
                f"{_format_step_time(per_step, self.unit_name)}{self._values_text()}"
            )

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """Shows that `n` more steps are done."""
        self.update(self._seen + n, values)

    def _record(self, current: int, values: Iterable[tuple[str, Any]], finalize: bool) -> None:
        for name, value in values:
            stateful = (
                name in self.stateful_metrics
                if self.stateless_metrics is None
                else name not in self.stateless_metrics
            )
            # The last values are the epoch's own results: nothing is left to average.
            if stateful or finalize:
                self._averages[name] = None
                self._latest[name] = value
                continue
            # Values stand for all steps since the last update, at least one.
            weight = max(current - self._seen, 1)
            total, count = self._averages.get(name) or (0.0, 0)
            total, count = total + value * weight, count + weight
            self._averages[name] = (total, count)
            self._latest[name] = total / count

    def _time_per_step(self, current: int, now: float) -> float:
        """Seconds per step, leaving out the first one, which includes tracing and compiling."""
        if current <= 0:
            return 0.0
        if self._first_step_end is None or current == 1:
            return (now - self._start) / current
        return (now - self._first_step_end) / (current - 1)

    def _values_text(self) -> str:
        parts = []
        for name, value in self._latest.items():
            if value is None:
                parts.append(f" - {name}: None")
                continue
            mean = float(np.mean(np.asarray(value, dtype="float64")))
            parts.append(f" - {name}: {mean:.4f}" if abs(mean) > 1e-3 else f" - {name}: {mean:.4e}")
        return "".join(parts)

    def _draw_bar(self, current: int, elapsed: float, per_step: float, finalize: bool) -> None:
        bold = _bold if self._colour else str
        if self.target is not None:
            digits = len(str(self.target))
            done = min(current / self.target, 1.0) if self.target else 1.0
            filled = int(self.width * done)
            bar = self._full(filled) + self._empty(self.width - filled)
            head = f"{bold(f'{current:{digits}d}/{self.target}')} {bar} "
            remaining = per_step * max(self.target - current, 0)
        else:
            head = f"{current:7d}/Unknown "
            remaining = 0.0
        clock = f"{elapsed:.0f}s" if finalize or self.target is None else _format_duration(remaining)
        tail = f"{bold(clock)} {_format_step_time(per_step, self.unit_name)}{self._values_text()}"
        text = head + tail
        visible = _visible_length(text)
        if self._redraws:
            padding = " " * max(self._drawn_chars - visible, 0)
            text = "\r" + text + padding
        self._drawn_chars = visible
        io_utils.print_msg(text + "\n" if finalize else text, line_break=False)


def can_redraw(stream: Any) -> bool:
    """Whether a line written to `stream` can be written over: a terminal, a notebook or an IDE's console."""
    try:
        if stream.isatty():
            return True
    except (AttributeError, ValueError):
        return False
    return "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ


def _bar_glyphs(stream: Any, colour: bool) -> tuple[Any, Any]:
    """Functions drawing n done and n remaining cells of the bar on `stream`."""
    glyph = "\u2501"
    try:
        glyph.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return (lambda n: "=" * n), (lambda n: "." * n)
    if colour:
        return (lambda n: f"\x1b[32m{glyph * n}\x1b[0m" if n else ""), (
            lambda n: f"\x1b[37m{glyph * n}\x1b[0m"
        )
    # Without colours the two halves must differ in shape.
    return (lambda n: glyph * n), (lambda n: " " * n)


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"


def _visible_length(text: str) -> int:
    length, in_escape = 0, False
    for char in text:
        if in_escape:
            in_escape = char != "m"
        elif char == "\x1b":
            in_escape = True
        else:
            length += 1
    return length


def _format_duration(seconds: float) -> str:
    seconds = int(seconds)
    if seconds > 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    if seconds > 60:
        return f"{seconds // 60}:{seconds % 60:02d}"
    return f"{seconds}s"


def _format_step_time(seconds: float, unit_name: str) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit_name}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit_name}"
    return f"{seconds * 1e6:.0f}us/{unit_name}"
