"""Results for the logs: read from the metrics by one engine call when they are shown, as Python floats."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.training.step import traced_call


def pythonify(logs: Any) -> dict[str, Any]:
    """Returns results sorted by name, scalars as Python floats and everything else as NumPy arrays.

    Raises:
        TypeError: if `logs` is no dict.
    """
    if not isinstance(logs, dict):
        raise TypeError(
            f"A step should return a dict of results by name, e.g. {{'loss': loss}}, but it returned "
            f"{type(logs)}. Check what `train_step`, `test_step` or `compute_metrics` returns."
        )
    result: dict[str, Any] = {}
    for name in sorted(logs):
        value = logs[name]
        if isinstance(value, dict):
            result.update(pythonify(value))
        else:
            result[name] = _to_python(value)
    return result


def _to_python(value: Any) -> Any:
    if isinstance(value, _engine.Cell):
        value = value.value
    if isinstance(value, _engine.Tensor):
        return float(value) if value.size == 1 else value.numpy()
    if isinstance(value, (int, float, np.number)):
        return float(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        return float(value.reshape(()))
    return value


class MetricOps:
    """`get_metrics_result` and `reset_metrics` of a model, each compiled to one engine call.

    Made anew whenever a step has been traced, because tracing may create metrics or their variables.
    """

    def __init__(self, model: Any) -> None:
        self._model = weakref.ref(model)
        # Whether to run the metrics' Python code each time instead.
        self.eager = False
        # Names of the results as `evaluate` lists them, by those in the logs.
        self.order: dict[tuple[str, ...], list[str]] = {}
        self._read: Callable[[], Any] | None = None
        self._reset: Callable[[], Any] | None = None

    def read(self) -> dict[str, Any]:
        """Returns the results of all metrics as Python floats."""
        function = self._model().get_metrics_result  # type: ignore[union-attr]
        if self.eager:
            return pythonify(function())
        if self._read is None:
            self._read = traced_call(function, "metrics_result")
        return pythonify((self._read or function)())

    def reset(self) -> None:
        """Resets all metrics."""
        function = self._model().reset_metrics  # type: ignore[union-attr]
        if self.eager:
            function()
            return
        if self._reset is None:
            self._reset = traced_call(function, "reset_metrics")
        (self._reset or function)()
