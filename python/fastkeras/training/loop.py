"""The inner loops of `fit`, `evaluate` and `predict`: a batch may cost a few microseconds here, no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras.callbacks.callback import overrides
from fastkeras.callbacks.callback_list import CallbackList
from fastkeras.callbacks.progbar_logger import ProgbarLogger
from fastkeras.training.data_adapters.adapter import Epoch
from fastkeras.training.step import Step, StepFunction
from fastkeras.utils import io_utils
from fastkeras.utils.progbar import can_redraw

Hook = Callable[..., None]

# Where nothing looks at single batches, the engine runs many by itself; after this many seconds it asks whether to
# stop and whether the progress bar is to be drawn.
_AHEAD = 0.02


def resolve_verbose(verbose: Any) -> int:
    """Returns 0, 1 or 2 for the `verbose` argument; `"auto"` is 1 on a terminal, else 2."""
    if verbose == "auto":
        return 1 if io_utils.is_interactive_logging_enabled() and can_redraw(sys.stdout) else 2
    if verbose in (0, 1, 2) and not isinstance(verbose, str):
        return int(verbose)
    raise ValueError(
        "`verbose` must be 'auto', 0 (silent), 1 (progress bar) or 2 (one line per epoch). Received: "
        f"verbose={verbose!r}"
    )


class BatchHooks:
    """What to call around each batch: the callbacks that override a batch hook, and the progress bar.

    Args:
        callbacks: the CallbackList, or an object of the user's that acts as one.
        phase: `"train"`, `"test"` or `"predict"`.
        shows_bar: whether the progress bar belongs to this phase (validation inside `fit` has none).
    """

    __slots__ = ("begin", "end", "bar", "bar_end")

    def __init__(self, callbacks: Any, phase: str, shows_bar: bool = True) -> None:
        begin, end = f"on_{phase}_batch_begin", f"on_{phase}_batch_end"
        self.bar: ProgbarLogger | None = None
        if isinstance(callbacks, CallbackList) and not overrides_list(callbacks, begin, end):
            bar = callbacks._progbar
            # A subclass that does something of its own per batch is called for every batch.
            if type(bar) is ProgbarLogger:
                self.bar = bar if shows_bar else None
            else:
                bar = None
            self.begin = callbacks.batch_hooks(begin, but=bar)
            self.end = callbacks.batch_hooks(end, but=bar)
        else:
            self.begin = [getattr(callbacks, begin)] if overrides(callbacks, begin) else []
            self.end = [getattr(callbacks, end)] if overrides(callbacks, end) else []
        self.bar_end: Hook | None = getattr(self.bar, end) if self.bar is not None else None


def overrides_list(callbacks: CallbackList, *hooks: str) -> bool:
    """Whether a subclass of CallbackList has its own version of a hook."""
    return any(getattr(type(callbacks), hook) is not getattr(CallbackList, hook) for hook in hooks)


def run_epoch(
    function: StepFunction,
    batches: Epoch,
    hooks: BatchHooks,
    read: Callable[[Step, list[Any]], dict[str, Any]],
    stop: Callable[[], bool],
    steps_per_execution: int = 1,
) -> tuple[Step | None, list[Any], int]:
    """Runs a step on each batch.

    Args:
        function: the step.
        batches: the batches.
        hooks: what to call around them.
        read: gives the results for the logs; called only when something looks at them.
        stop: whether to stop, asked after each batch.
        steps_per_execution: number of batches between calls of the hooks.

    Returns:
        The last step, what it returned, and the number of batches.
    """
    begin, end, bar, bar_end = hooks.begin, hooks.end, hooks.bar, hooks.bar_end
    alone = not begin and not end
    current = step = run = None
    outputs: list[Any] = []
    count = in_group = 0
    for signature, arrays in batches:
        if signature is not current:
            step = function.step(signature)
            run, current = step.run, signature
        if begin and in_group == 0:
            for hook in begin:
                hook(count, logs={})
        outputs = run(*arrays)  # type: ignore[misc]
        count += 1
        in_group += 1
        if alone and step.compiled:  # type: ignore[union-attr]
            more, last = batches.run_ahead(signature, step.executable, _AHEAD)  # type: ignore[union-attr]
            if more:
                outputs = last
                count += more
                in_group = steps_per_execution
        if in_group < steps_per_execution:
            continue
        in_group = 0
        if end:
            logs = read(step, outputs)  # type: ignore[arg-type]
            for hook in end:
                hook(count - 1, logs=logs)
        if bar is not None and bar.wants_update(count):
            bar_end(count - 1, logs=read(step, outputs))  # type: ignore[misc, arg-type]
        if stop():
            break
    if in_group:
        # The epoch ended inside a group of steps_per_execution batches.
        if end:
            logs = read(step, outputs)  # type: ignore[arg-type]
            for hook in end:
                hook(count - 1, logs=logs)
        if bar is not None:
            bar.wants_update(count)
    return step, outputs, count


class OutputCollector:
    """Puts the outputs of batches together: into arrays made in advance if the number of samples is known.

    Args:
        total: number of samples of all batches, None if unknown.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._filled = 0
        self._whole: list[np.ndarray] | None = None
        self._parts: list[list[np.ndarray]] = []
        self._step: Step | None = None

    def add(self, step: Step, outputs: list[Any], n: int) -> None:
        """Takes the outputs of a batch of `n` samples, which nobody uses any more."""
        arrays = [t.own_numpy() for t in outputs]
        self._step = step
        if self._total is None or self._total == n:
            self._parts.append(arrays)
            return
        if self._whole is None and self._filled == 0 and all(a.ndim and a.shape[0] == n for a in arrays):
            self._whole = [np.empty((self._total, *a.shape[1:]), a.dtype) for a in arrays]
        if self._whole is None:
            self._filled += n
            self._parts.append(arrays)
            return
        stop = self._filled + n
        for whole, a in zip(self._whole, arrays):
            if a.shape[1:] != whole.shape[1:] or a.shape[0] != n:
                raise ValueError(
                    f"The outputs of a batch have shape {a.shape}, those of the batches before "
                    f"{whole.shape[1:]} per sample. Expected the same shape for all batches: predict() "
                    "cannot put these together. Call the model on each batch instead."
                )
            whole[self._filled : stop] = a
        self._filled = stop

    def result(self) -> Any:
        """Returns the outputs of all samples, nested as the model nests them."""
        if self._step is None:
            raise ValueError("There are no outputs: the data yielded no batch. Pass at least one sample.")
        if self._whole is not None:
            # Fewer than expected if prediction was stopped.
            arrays = [a[: self._filled] for a in self._whole]
        elif len(self._parts) == 1:
            arrays = [writable(a) for a in self._parts[0]]
        else:
            arrays = [np.concatenate([np.atleast_1d(a) for a in column]) for column in zip(*self._parts)]
        return self._step.rebuild(arrays)


def writable(a: np.ndarray) -> np.ndarray:
    """Returns `a`, or a copy if it cannot be written to: predictions are the caller's to change."""
    return a if a.flags.writeable else a.copy()
