"""Trainer: `fit`, `evaluate`, `predict` and their relatives, the half of Model that is not layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras.callbacks.callback_list import CallbackList
from fastkeras.callbacks.history import History
from fastkeras.core import config
from fastkeras.training.compile_metrics import CompileMetrics
from fastkeras.training.data_adapters import (
    ArrayAdapter,
    EpochStream,
    check_batch_size,
    get_data_adapter,
    is_dataset,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from fastkeras.training.loop import BatchHooks, OutputCollector, resolve_verbose, run_epoch, writable
from fastkeras.training.step import CAPACITY, Step
from fastkeras.training.steps import TrainerSteps

# A batch size that takes in everything.
_WHOLE = 2**62


class Trainer(TrainerSteps):
    """The training methods of a model; a base class of Model, placed before Layer."""

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Trains the model for a number of epochs.

        Args:
            x: inputs: an array of shape (samples, ...), a list or dict of them, or a PyDataset, generator or
                other iterable that yields batches `(x, y)` or `(x, y, sample_weight)`.
            y: targets, in the same forms; not with data that yields batches.
            batch_size: samples per batch, default 32.
            epochs: index of the last epoch plus one.
            verbose: 0 (silent), 1 (progress bar), 2 (one line per epoch) or `"auto"` (1 on a terminal, else
                2).
            callbacks: list of Callback objects.
            validation_split: fraction of the arrays, from their end, to validate on.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or data that yields batches, to validate on.
            shuffle: whether to visit the samples of arrays (or the batches of a PyDataset) in a new order
                each epoch; `"batch"` moves whole batches of arrays.
            class_weight: dict from class indices to weights for the loss.
            sample_weight: weights of the samples for the loss, of shape (samples,), or by output.
            initial_epoch: epoch to start from.
            steps_per_epoch: batches per epoch, default all.
            validation_steps: batches to validate on, default all.
            validation_batch_size: samples per validation batch, default `batch_size`.
            validation_freq: validate every so many epochs, or a list of the epochs (from 1) to validate
                after.

        Returns:
            A History; `history.history` is a dict from names to one float per epoch.

        Raises:
            ValueError: if the model is not compiled, or the data or an argument cannot be used. The weights
                are unchanged then.

        Example:
            >>> history = model.fit(x, y, epochs=5, validation_split=0.1)
            >>> history.history["val_loss"]
        """
        self._check_compiled("fit")
        verbose = resolve_verbose(verbose)
        _check_count("epochs", epochs, least=0)
        _check_count("initial_epoch", initial_epoch, least=0)
        _check_count("steps_per_epoch", steps_per_epoch)
        _check_count("validation_steps", validation_steps)
        _check_validation_freq(validation_freq)
        check_batch_size(batch_size)
        check_batch_size(validation_batch_size, "validation_batch_size")
        cap = config.max_epochs()
        if cap is not None and epochs - initial_epoch > cap:
            epochs = initial_epoch + cap
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split
            )
        stream = EpochStream(
            get_data_adapter(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight),
            steps_per_epoch,
        )
        validation = None
        if validation_data is not None:
            validation = self._validation_stream(
                validation_data, validation_batch_size or batch_size, validation_steps
            )
        self._set(stop_training=False, _initial_epoch=None)
        steps = self._steps_for("train")
        callbacks = self._callback_list(callbacks, verbose, True, epochs=epochs, steps=stream.steps)
        hooks = BatchHooks(callbacks, "train")
        train_logs: dict[str, Any] = {}
        callbacks.on_train_begin()
        # Set by a callback that restores an interrupted run.
        initial_epoch = self._initial_epoch or initial_epoch
        try:
            for epoch in range(initial_epoch, epochs):
                self._metrics_now().reset()
                stream.begin()
                callbacks.on_epoch_begin(epoch)
                step, outputs, count = run_epoch(
                    steps,
                    stream.epoch(),
                    hooks,
                    self._read,
                    lambda: self.stop_training,
                    self.steps_per_execution,
                )
                stream.finish()
                if count == 0:
                    # A generator with nothing left: there is no epoch to report.
                    break
                logs = self._final_logs(step, outputs)
                if validation is not None and _should_validate(epoch, validation_freq):
                    val_logs = self._run_evaluation(validation, callbacks, inside_fit=True)
                    logs.update({f"val_{name}": value for name, value in val_logs.items()})
                    logs = dict(sorted(logs.items()))
                callbacks.on_epoch_end(epoch, logs)
                train_logs = logs
                if self.stop_training:
                    break
        finally:
            stream.close()
            if validation is not None:
                validation.close()
        if epochs > initial_epoch and _averages(self.optimizer):
            self.optimizer.finalize_variable_values(self.trainable_variables)  # type: ignore[attr-defined]
        callbacks.on_train_end(logs=train_logs)
        return self.history

    def _validation_stream(self, data: Any, batch_size: int | None, steps: int | None) -> EpochStream:
        if is_dataset(data):
            x, y, sample_weight = data, None, None
        elif isinstance(data, (tuple, list)):
            if len(data) not in (2, 3):
                raise ValueError(
                    "`validation_data` must be `(x, y)`, `(x, y, sample_weight)`, or data that yields "
                    f"batches. Received a {type(data).__name__} of {len(data)}."
                )
            x, y, sample_weight = unpack_x_y_sample_weight(data)
        else:
            raise ValueError(
                "`validation_data` must be `(x, y)`, `(x, y, sample_weight)`, or data that yields batches. "
                f"Received: {type(data)}"
            )
        if is_dataset(x) and y is not None:
            raise ValueError(
                f"`validation_data` is a pair whose first member yields batches by itself "
                f"({type(x).__name__}). Pass it alone, without targets."
            )
        return EpochStream(get_data_adapter(x, y, sample_weight, batch_size, steps), steps)

    def _callback_list(self, callbacks: Any, verbose: int, add_history: bool, **params: Any) -> Any:
        if isinstance(callbacks, CallbackList):
            if add_history and callbacks._history is None:
                history = History()
                callbacks._history = history
                callbacks.append(history)
            callbacks.set_model(self)
            callbacks.set_params({"verbose": verbose, **params})
            return callbacks
        return CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            **params,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Returns the loss and the metrics of the model on data.

        Args:
            x: inputs; see `fit`.
            y: targets; see `fit`.
            batch_size: samples per batch, default 32.
            verbose: 0 (silent), 1 (progress bar), 2 (one line) or `"auto"` (1 on a terminal, else 2).
            sample_weight: weights of the samples.
            steps: number of batches, default all.
            callbacks: list of Callback objects.
            return_dict: whether to return a dict by name instead of a list.

        Returns:
            A float (if there is only the loss), a list of floats in the order of `metrics_names`, or a dict.

        Raises:
            ValueError: if the model is not compiled, or the data or an argument cannot be used.

        Example:
            >>> loss, accuracy = model.evaluate(x_test, y_test)
        """
        self._check_compiled("evaluate")
        if kwargs:
            raise ValueError(
                f"Arguments not recognized: {kwargs}. Check the spelling of the arguments of evaluate()."
            )
        verbose = resolve_verbose(verbose)
        _check_count("steps", steps)
        stream = EpochStream(get_data_adapter(x, y, sample_weight, batch_size, steps), steps)
        callbacks = self._callback_list(callbacks, verbose, False, epochs=1, steps=stream.steps)
        logs = self._run_evaluation(stream, callbacks)
        return logs if return_dict else self._as_list(logs)

    def _run_evaluation(
        self, stream: EpochStream, callbacks: Any, inside_fit: bool = False
    ) -> dict[str, Any]:
        steps = self._steps_for("test")
        hooks = BatchHooks(callbacks, "test", shows_bar=not inside_fit)
        self._set(stop_evaluating=False)
        callbacks.on_test_begin()
        self._metrics_now().reset()
        try:
            if not stream.adapter.one_shot:
                # Every evaluation sees the same data, whatever `steps` says.
                stream.close()
            stream.begin()
            step, outputs, _ = run_epoch(
                steps,
                stream.epoch(),
                hooks,
                self._read,
                lambda: self.stop_evaluating,
                self.steps_per_execution,
            )
            stream.finish()
        finally:
            if not inside_fit:
                stream.close()
        logs = self._final_logs(step, outputs)
        callbacks.on_test_end(logs)
        return logs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Returns the outputs of the model for data, as NumPy arrays.

        Two threads may call it on one model at the same time.

        Args:
            x: inputs: an array of shape (samples, ...), a list or dict of them, or data that yields batches.
            batch_size: samples per batch, default 32.
            verbose: 0 (silent), 1 (progress bar), 2 (one line) or `"auto"` (1 on a terminal, else 2).
            steps: number of batches, default all.
            callbacks: list of Callback objects.

        Returns:
            An array of shape (samples, ...), nested as the model nests its outputs.

        Raises:
            ValueError: if the data or an argument cannot be used.

        Example:
            >>> model.predict(x).shape
            (100, 10)
        """
        # A model called in a loop with verbose=0 should not pay for the rest.
        if verbose == 0 and callbacks is None and steps is None and type(x) is np.ndarray:
            found = self._fast_predict
            if (
                found
                and x.ndim
                and x.flags.c_contiguous
                and len(x) <= (32 if batch_size is None else batch_size)
            ):
                run = found.get((x.shape, x.dtype))
                if run is not None:
                    return run(x)
        return self._predict(x, batch_size, verbose, steps, callbacks)

    def _predict(
        self, x: Any, batch_size: int | None, verbose: Any, steps: int | None, callbacks: Any
    ) -> Any:
        verbose = resolve_verbose(verbose)
        _check_count("steps", steps)
        function = self._steps_for("predict")
        adapter = get_data_adapter(x, batch_size=batch_size, steps_per_epoch=steps)
        stream = EpochStream(adapter, steps)
        total = (
            adapter.num_samples
            if isinstance(adapter, ArrayAdapter) and stream.steps_per_epoch is None
            else None
        )
        collector = OutputCollector(total)
        self._set(stop_predicting=False)
        if verbose or callbacks is not None:
            callback_list = self._callback_list(callbacks, verbose, False, epochs=1, steps=stream.steps)
            hooks = BatchHooks(callback_list, "predict")
            callback_list.on_predict_begin()
        else:
            callback_list = hooks = None
        stream.begin()
        current = step = None
        count = 0
        try:
            for signature, arrays in stream.epoch():
                if signature is not current:
                    step, current = function.step(signature), signature
                assert step is not None
                if hooks is not None:
                    for hook in hooks.begin:
                        hook(count, logs={})
                outputs = step.run(*arrays)
                shown = (
                    step.rebuild([t.numpy() for t in outputs]) if hooks is not None and hooks.end else None
                )
                collector.add(step, outputs, len(arrays[0]) if arrays[0].ndim else 1)
                count += 1
                if hooks is not None:
                    if hooks.end:
                        for hook in hooks.end:
                            hook(count - 1, logs={"outputs": shown})
                    if hooks.bar is not None and hooks.bar.wants_update(count):
                        hooks.bar_end(count - 1, logs=None)  # type: ignore[misc]
                    if self.stop_predicting:
                        break
            stream.finish()
        finally:
            stream.close()
        if callback_list is not None:
            callback_list.on_predict_end()
        if (
            total is not None
            and count == adapter.num_batches == 1
            and type(x) is np.ndarray
            and step is not None
        ):
            self._remember_fast_predict(x, step, adapter.arrays[0].dtype)  # type: ignore[attr-defined]
        return collector.result()

    def _remember_fast_predict(self, x: np.ndarray, step: Step, dtype: np.dtype) -> None:
        """Notes how to predict for one batch like `x` without any of the machinery."""
        found = self._fast_predict
        if found is None or not step.compiled or not x.flags.c_contiguous:
            return
        run, rebuild = step.run, step.rebuild
        single = step.is_single_tensor
        cast = x.dtype != dtype

        def fast(x: np.ndarray) -> Any:
            if cast:
                x = x.astype(dtype)
            if single:
                return writable(run(x)[0].own_numpy())
            return rebuild([writable(t.own_numpy()) for t in run(x)])

        if len(found) >= CAPACITY:
            found.clear()
        found[(x.shape, x.dtype)] = fast

    # Single batches.

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Runs a single training update on one batch.

        Args:
            x: inputs.
            y: targets.
            sample_weight: weights of the samples.
            class_weight: dict from class indices to weights.
            return_dict: whether to return a dict by name instead of a list.

        Returns:
            The loss and metrics of this batch: a float, a list of floats or a dict.

        Raises:
            ValueError: if the model is not compiled, or the data cannot be used.
        """
        self._check_compiled("train_on_batch")
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Returns the loss and metrics of one batch; see `train_on_batch`."""
        self._check_compiled("test_on_batch")
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def _on_batch(
        self, phase: str, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: bool
    ) -> Any:
        function = self._steps_for(phase)
        given = (x, y) if sample_weight is None else (x, y, sample_weight)
        step = key = None
        if class_weight is None and all(type(a) is np.ndarray and a.flags.c_contiguous for a in given):
            # Arrays like those of an earlier call need no checks: shapes and types are all there is to check.
            key = tuple([(a.shape, a.dtype) for a in given])
            step = function.by_arrays.get(key)
        arrays: Any = given
        if step is None:
            adapter = get_data_adapter(x, y, sample_weight, batch_size=_WHOLE, class_weight=class_weight)
            if not isinstance(adapter, ArrayAdapter):
                raise ValueError(
                    f"{phase}_on_batch() takes the arrays of one batch, but `x` yields batches by itself "
                    f"({type(x).__name__}). Use fit() or evaluate()."
                )
            signature, arrays = next(adapter.batches())
            step = function.step(signature)
            if key is not None and all(a is b for a, b in zip(adapter.arrays, given)):
                function.remember(key, step)
        self._metrics_now().reset()
        logs = self._final_logs(step, step.run(*arrays))
        return logs if return_dict else self._as_list(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns the outputs for one batch as NumPy arrays, nested as the model nests them."""
        return self.predict(x, batch_size=_WHOLE, verbose=0)

    def _as_list(self, logs: dict[str, Any]) -> Any:
        """Results as a list: loss, losses of outputs, metrics of layers, then those of `compile()`."""
        order = self._metrics_now().order
        names = order.get(tuple(logs))
        if names is None:
            single: list[str] = []
            compiled: list[str] = []
            for metric in self.metrics:
                if isinstance(metric, CompileMetrics):
                    compiled += [inner.name for inner in metric.metrics]
                else:
                    single.append(metric.name)
            names = list(dict.fromkeys(n for n in single + compiled if n in logs))
            # Those named after an output, and the like, in alphabetical order.
            names += [n for n in logs if n not in names]
            order[tuple(logs)] = names
        values = [logs[n] for n in names]
        return values[0] if len(values) == 1 else values


def _averages(optimizer: Any) -> bool:
    """Whether an optimizer (inside a LossScaleOptimizer, perhaps) keeps averages of the variables."""
    if optimizer is None or not optimizer.built:
        return False
    return bool(getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False))


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={value!r} of type "
            f"{type(value)}"
        )


def _check_validation_freq(freq: Any) -> None:
    if isinstance(freq, (list, tuple, set, range)):
        return
    if isinstance(freq, bool) or not isinstance(freq, (int, np.integer)) or freq < 1:
        raise ValueError(
            "`validation_freq` must be a positive integer or a list of epochs (counted from 1). "
            f"Received: validation_freq={freq!r}"
        )


def _should_validate(epoch: int, freq: Any) -> bool:
    return (epoch + 1) % freq == 0 if isinstance(freq, (int, np.integer)) else (epoch + 1) in freq
