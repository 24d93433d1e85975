"""History: the callback that records what `fit()` returns."""

from __future__ import annotations

import weakref
from typing import Any

from fastkeras.callbacks.callback import Callback


class History(Callback):
    """Records the logs of every epoch; `fit()` adds one and returns it.

    Attributes:
        history: dict from names (`"loss"`, `"val_loss"`, ...) to lists with one float per epoch.
        epoch: list of the epoch indices.

    Example:
        >>> history = model.fit(x, y, epochs=3)
        >>> len(history.history["loss"])
        3
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    @property
    def model(self) -> Any:
        """The model that was trained, or None if it no longer exists."""
        return None if self._model is None else self._model()

    def set_model(self, model: Any) -> None:
        """Stores the model, weakly: the model holds its history, and a cycle would keep both alive."""
        self._model = weakref.ref(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        # The model may have been handed from one history to another.
        model = self.model
        if model is not None and getattr(model, "history", None) is not self:
            model.history = self
