"""CallbackList: calls a list of callbacks together and knows which batch hooks are worth calling."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optree

from fastkeras.callbacks.callback import Callback, overrides
from fastkeras.callbacks.history import History
from fastkeras.callbacks.progbar_logger import ProgbarLogger


class CallbackList(Callback):
    """A list of callbacks called in order, itself a callback.

    Args:
        callbacks: callbacks, possibly nested in lists.
        add_history: whether to add a `History` if there is none.
        add_progbar: whether to add a `ProgbarLogger` if there is none.
        model: the model to attach the callbacks to.
        **params: passed to each callback's `set_params`.

    Raises:
        ValueError: if a member is a class rather than an instance, or has none of the callback methods.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = optree.tree_leaves(callbacks) if callbacks is not None else []
        for callback in self.callbacks:
            _check_callback(callback)
        # The defaults go last, so that they see what the user's callbacks put into the logs.
        self._progbar = next((c for c in self.callbacks if isinstance(c, ProgbarLogger)), None)
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Any) -> None:
        """Adds a callback at the end."""
        _check_callback(callback)
        self.callbacks.append(callback)
        self._hooks.clear()
        if self.model is not None:
            callback.set_model(self.model)
        if self.params is not None:
            callback.set_params(self.params)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)

    def set_params(self, params: dict[str, Any]) -> None:
        """Passes the parameters on to every callback."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Attaches every callback to `model`, whose `history` becomes this list's History."""
        super().set_model(model)
        if self._history is not None:
            # Past the tracking of layers: a history is no part of the model's state.
            object.__setattr__(model, "history", self._history)
        for callback in self.callbacks:
            callback.set_model(model)

    def batch_hooks(self, hook: str, but: Any = None) -> list[Callable[..., None]]:
        """The bound methods named `hook` that do something, of all callbacks other than `but`."""
        return [getattr(c, hook) for c in self.callbacks if c is not but and overrides(c, hook)]

    def _call_batch(self, hook: str, batch: int, logs: dict[str, Any] | None) -> None:
        hooks = self._hooks.get(hook)
        if hooks is None:
            hooks = self._hooks[hook] = self.batch_hooks(hook)
        if hooks:
            logs = logs or {}
            for call in hooks:
                call(batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.on_train_batch_begin(batch, logs)

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.on_train_batch_end(batch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_batch("on_predict_batch_end", batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # One dict for all: what one callback adds (a learning rate, say) reaches the later ones.
        logs = logs if logs is not None else {}
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_test_begin(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_predict_begin(logs)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_predict_end(logs)


def _check_callback(callback: Any) -> None:
    if isinstance(callback, Callback):
        return
    if isinstance(callback, type):
        raise ValueError(
            f"`callbacks` should contain callback instances, but received the class {callback.__name__}. "
            f"Pass {callback.__name__}(...) instead."
        )
    if not (hasattr(callback, "set_model") and hasattr(callback, "on_epoch_end")):
        raise ValueError(
            f"`callbacks` should contain fastkeras.callbacks.Callback instances, but received {callback!r} "
            f"of type {type(callback)}. Subclass Callback, or use LambdaCallback to wrap a function."
        )
    warnings.warn(
        f"{type(callback).__name__} is not a fastkeras.callbacks.Callback; its methods are called all the "
        "same.",
        stacklevel=4,
    )
