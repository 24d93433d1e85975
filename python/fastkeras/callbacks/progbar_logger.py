"""ProgbarLogger: shows the progress of `fit`, `evaluate` and `predict` on a Progbar."""

from __future__ import annotations

from typing import Any

from fastkeras.callbacks.callback import Callback
from fastkeras.utils.io_utils import print_msg
from fastkeras.utils.progbar import Progbar


class ProgbarLogger(Callback):
    """Prints the progress of training and its results to stdout.

    `fit(verbose=...)` adds one. Between two redraws a training step costs one look at the clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._called_in_fit = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Reads verbosity, epochs and the number of steps."""
        self.params = params
        self.verbose = params.get("verbose", 1)
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    def wants_update(self, seen: int) -> bool:
        """Notes that `seen` steps are done; returns whether the bar would be redrawn now."""
        self.seen = seen
        return self.progbar is not None and self.progbar.wants_update()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._called_in_fit = True

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._called_in_fit:
            self._reset()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._reset()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._reset()
        if self.verbose and self.epochs > 1:
            print_msg(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._update(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._called_in_fit:
            self._update(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The outputs of the batch are no results to show.
        self._update(batch, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._finalize(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._called_in_fit = False

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._called_in_fit:
            self._finalize(logs)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._finalize(logs)

    def _reset(self) -> None:
        self.seen = 0
        # Nothing is averaged: the logs are already running results of the epoch.
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=(), unit_name="step")

    def _update(self, batch: int, logs: dict[str, Any] | None) -> None:
        if self.progbar is None:
            self._reset()
        assert self.progbar is not None
        self.seen = batch + 1
        if self.verbose == 1:
            self.progbar.update(self.seen, list((logs or {}).items()), finalize=False)

    def _finalize(self, logs: dict[str, Any] | None) -> None:
        if self.progbar is None:
            self._reset()
        assert self.progbar is not None
        if self.target is None:
            self.target = self.seen
            self.progbar.target = self.seen
        self.progbar.update(self.seen, list((logs or {}).items()), finalize=True)
