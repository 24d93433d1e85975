"""LearningRateScheduler: sets the learning rate by a function at the start of each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.callbacks.callback import Callback
from fastkeras.utils import io_utils


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of every epoch to `schedule(epoch, learning_rate)`.

    The learning rate of each epoch is added to the logs as `"learning_rate"`.

    Args:
        schedule: function of the epoch index (and the present learning rate) returning the new one, a float.
        verbose: 1 prints the new learning rate, 0 does not.

    Example:
        >>> decay = fastkeras.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.9)
        >>> model.fit(x, y, epochs=10, callbacks=[decay])
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError(
                f"LearningRateScheduler needs a model whose optimizer has a `learning_rate`; this one has "
                f"{optimizer!r}. Compile the model with an optimizer."
            )
        present = float(optimizer.learning_rate)
        try:
            new = self.schedule(epoch, present)
        except TypeError:
            # A schedule of the epoch alone, the older form.
            new = self.schedule(epoch)
        if not isinstance(new, (float, np.floating, _engine.Tensor)):
            raise ValueError(
                "The `schedule` function of LearningRateScheduler should return a float, but for epoch "
                f"{epoch} it returned {new!r} of type {type(new)}."
            )
        optimizer.learning_rate = float(new)
        if self.verbose > 0:
            io_utils.print_msg(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {float(new)}."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
