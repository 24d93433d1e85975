"""MonitorCallback: what EarlyStopping, ModelCheckpoint and ReduceLROnPlateau share: has a value improved?"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from fastkeras.callbacks.callback import Callback


class MonitorCallback(Callback):
    """Base class of callbacks that watch one entry of the logs.

    Args:
        monitor: name of the entry.
        mode: `"min"`, `"max"`, or `"auto"` to infer the direction from the metric of that name.
        best: value to improve on, None for none.
        min_delta: least change that counts as an improvement.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", best: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode {mode!r} is unknown, fallback to auto mode. "
                "Expected one of 'auto', 'min', 'max'.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = best
        self.min_delta = abs(min_delta)
        self.monitor_op: Callable[[float, float], bool] | None = None
        if mode != "auto":
            self._set_direction(mode)

    def _set_direction(self, mode: str) -> None:
        # min_delta carries the sign: a value has improved if (value - min_delta) beats the reference.
        self.min_delta = abs(self.min_delta)
        if mode == "max":
            self.monitor_op = operator.gt
        else:
            self.monitor_op = operator.lt
            self.min_delta = -self.min_delta

    def _set_monitor_op(self) -> None:
        """Settles the direction in `"auto"` mode, which needs the model and its metrics."""
        if self.mode != "auto":
            self._set_direction(self.mode)
            return
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            self._set_direction("min")
            return
        for shown, metric in _named_metrics(self.model):
            direction = getattr(metric, "_direction", None)
            if shown == name and direction in ("up", "down"):
                self._set_direction("max" if direction == "up" else "min")
                return
        raise ValueError(
            f"{type(self).__name__} callback received monitor={self.monitor}, but it cannot be inferred "
            "whether that metric should be maximized or minimized. Pass `mode='max'` if higher values are "
            "better, or `mode='min'` if lower values are."
        )

    def _is_improvement(self, value: Any, reference: Any) -> bool:
        if reference is None:
            return True
        assert self.monitor_op is not None
        return bool(self.monitor_op(value - self.min_delta, reference))


def _named_metrics(model: Any) -> Iterator[tuple[str, Any]]:
    """(name in the logs, metric) for every metric of the model."""
    for metric in getattr(model, "metrics", ()):
        named = getattr(metric, "named_metrics", None)
        if named is not None:
            # A metric under `compile` goes by its own name and, with several outputs, by `<output>_<name>` as
            # well.
            for shown, inner in named():
                yield shown, inner
                yield inner.name, inner
        else:
            yield metric.name, metric
