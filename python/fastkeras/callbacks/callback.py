"""The base class of callbacks, and the test for which batch hooks a callback has overridden."""

from __future__ import annotations

from typing import Any


class Callback:
    """Base class used to build new callbacks.

    Subclass it, override the hooks of interest and pass an instance to `fit()`, `evaluate()` or `predict()`.
    Hooks that are not overridden cost nothing: `fit` does not call them.

    Attributes:
        params: dict of training parameters (`verbose`, `epochs`, `steps`).
        model: the model being trained, tested or used for prediction.

    Example:
        ```python
        class PrintLoss(fastkeras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                print(epoch, logs["loss"])

        model.fit(x, y, callbacks=[PrintLoss()])
        ```
    """

    params: dict[str, Any] | None
    _model: Any

    def __init__(self) -> None:
        self.params = None
        self._model = None

    @property
    def model(self) -> Any:
        """The model this callback is attached to, or None."""
        return getattr(self, "_model", None)

    def set_params(self, params: dict[str, Any]) -> None:
        """Stores the parameters of the training run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Stores the model."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of a training batch (an older name of `on_train_batch_begin`)."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of a training batch (an older name of `on_train_batch_end`)."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the start of an epoch of training.

        Args:
            epoch: index of the epoch.
            logs: an empty dict, for future use.
        """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of an epoch of training.

        Args:
            epoch: index of the epoch.
            logs: results of this epoch as Python floats, those of validation prefixed with `val_`. Callbacks
                may
                add entries: later ones and the history see them.
        """

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of a training batch; every N batches if `steps_per_execution` is N."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of a training batch with the running results of the epoch.

        Called every N batches if `steps_per_execution` is N.
        """
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of a batch in `evaluate()`, and of a validation batch in `fit()`."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of a batch in `evaluate()`, and of a validation batch in `fit()`."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of a batch in `predict()`."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of a batch in `predict()`; `logs["outputs"]` holds its outputs."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of training."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of training, with the logs of the last epoch."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of evaluation or validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of evaluation or validation, with its results."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the beginning of prediction."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of prediction."""


# Hooks that Callback forwards to an older name.
_OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def overrides(callback: Any, hook: str) -> bool:
    """Whether calling `callback.<hook>` can do anything.

    True for a method redefined in a subclass, a function stored on the instance (as LambdaCallback does), and
    any hook of an object that is no Callback at all but behaves like one.
    """
    method = getattr(callback, hook, None)
    if method is None:
        return False
    if getattr(method, "__func__", None) is not getattr(Callback, hook):
        return True
    older = _OLDER_NAMES.get(hook)
    return older is not None and overrides(callback, older)
