"""ReduceLROnPlateau: lowers the learning rate when a value has stopped improving."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras.callbacks.monitor_callback import MonitorCallback
from fastkeras.utils import io_utils


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` when a monitored value has stopped improving.

    The learning rate of each epoch is added to the logs as `"learning_rate"`.

    Args:
        monitor: name of the value.
        factor: factor below 1.
        patience: number of epochs without improvement after which the rate is lowered.
        verbose: 1 prints a message on each reduction, 0 does not.
        mode: `"min"`, `"max"`, or `"auto"` to infer the direction from the name.
        min_delta: least change that counts as an improvement.
        cooldown: number of epochs to wait after a reduction before watching again.
        min_lr: lower bound of the learning rate.

    Example:
        >>> reduce = fastkeras.callbacks.ReduceLROnPlateau(factor=0.2, patience=5, min_lr=1e-4)
        >>> model.fit(x, y, validation_split=0.2, epochs=50, callbacks=[reduce])
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(
                f"ReduceLROnPlateau received unknown arguments: {sorted(kwargs)}. Check their spelling."
            )
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(
                f"ReduceLROnPlateau does not support a factor >= 1.0, which would not lower the learning "
                f"rate. Pass a factor below 1. Received factor={factor}"
            )
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def _reset(self) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = logs if logs is not None else {}
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
            return
        if self.in_cooldown():
            return
        self.wait += 1
        if self.wait < self.patience:
            return
        old_lr = float(self.model.optimizer.learning_rate)
        if old_lr <= self.min_lr:
            return
        new_lr = max(old_lr * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = new_lr
        if self.verbose > 0:
            io_utils.print_msg(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new_lr}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether a reduction happened less than `cooldown` epochs ago."""
        return self.cooldown_counter > 0
