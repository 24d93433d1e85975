"""ModelCheckpoint: saves the model or its weights while it trains."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from fastkeras.callbacks.monitor_callback import MonitorCallback
from fastkeras.utils import io_utils


class ModelCheckpoint(MonitorCallback):
    """Saves the model or its weights at some frequency.

    Args:
        filepath: path of the file, which may contain `{epoch}`, `{batch}` and names of the logs with format
            specifications. It ends in `.weights.h5` if `save_weights_only`, else in `.keras` or `.h5`.
        monitor: name of the value that tells which model is best.
        verbose: 1 prints a message on each save, 0 does not.
        save_best_only: whether to save only when the monitored value has improved.
        save_weights_only: whether to save only the weights (and the state of the optimizer).
        mode: `"min"`, `"max"`, or `"auto"` to infer the direction from the name.
        save_freq: `"epoch"`, or a number of batches after which to save.
        initial_value_threshold: value that must be improved on before the first save.

    Example:
        >>> save = fastkeras.callbacks.ModelCheckpoint("best.keras", monitor="val_accuracy",
        save_best_only=True) >>> model.fit(x, y, validation_split=0.1, epochs=10, callbacks=[save])
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.verbose = verbose
        self.filepath = os.fspath(filepath)
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches_since_save = 0
        self._last_batch_seen = 0
        self._epoch = 0
        if save_freq != "epoch" and (
            isinstance(save_freq, (bool, str)) or not isinstance(save_freq, int) or save_freq < 1
        ):
            raise ValueError(
                f"Unrecognized save_freq: {save_freq!r}. Expected save_freq are 'epoch' or a positive number "
                "of batches."
            )
        if save_weights_only:
            if not self.filepath.endswith(".weights.h5"):
                raise ValueError(
                    "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided must "
                    f"end in `.weights.h5` (Keras weights format). Received: filepath={self.filepath}"
                )
        elif not self.filepath.endswith((".keras", ".h5")):
            raise ValueError(
                "The filepath provided must end in `.keras` (Keras model format). Received: "
                f"filepath={self.filepath}. Pass `save_weights_only=True` with a `.weights.h5` path for "
                "weights only."
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        # With steps_per_execution > 1 several batches pass between calls.
        passed = batch + 1 if batch <= self._last_batch_seen else batch - self._last_batch_seen
        self._batches_since_save += passed
        self._last_batch_seen = batch
        assert isinstance(self.save_freq, int)
        if self._batches_since_save >= self.save_freq:
            self._batches_since_save = 0
            self._save(self._epoch, batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor_op is None and self.save_best_only:
            self._set_monitor_op()
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any] | None) -> None:
        logs = logs or {}
        path = self._path(epoch, batch, logs)
        directory = os.path.dirname(path)
        if directory:
            os.makedirs(directory, exist_ok=True)
        if not self._should_save(epoch, logs, path):
            return
        if self.verbose > 0 and not self.save_best_only:
            io_utils.print_msg(f"\nEpoch {epoch + 1}: saving model to {path}")
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose > 0:
            io_utils.print_msg(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _should_save(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        if not self.save_best_only:
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Can save best model only with {self.monitor} available, so the model is saved. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=2,
            )
            return True
        if np.ndim(current) > 0:
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value, but {self.monitor} has shape "
                f"{np.shape(current)}, so the model is saved.",
                stacklevel=2,
            )
            return True
        if not self._is_improvement(current, self.best):
            if self.verbose > 0:
                io_utils.print_msg(
                    f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}"
                )
            return False
        if self.verbose > 0:
            before = "None" if self.best is None else f"{self.best:.5f}"
            io_utils.print_msg(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}, saving model "
                f"to {path}"
            )
        self.best = current
        return True

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        """The file's path with its fields filled in; epochs and batches count from 1 there."""
        try:
            if batch is None:
                return self.filepath.format(epoch=epoch + 1, **logs)
            return self.filepath.format(epoch=epoch + 1, batch=batch + 1, **logs)
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. '
                f"The logs have: {', '.join(logs)}"
            ) from error
