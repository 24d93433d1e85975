"""What a model does with one batch: `compile`, the train, test and predict steps, losses and metrics.

`train_step` (forward, loss, gradients, update, metrics), `test_step` and `predict_step` are traced once per
signature of the batch and compiled to one engine call (see `step.py`). The default steps leave the results of
the metrics out: these are read by a small call of their own when something is to be shown (see `logs.py`).
Steps that a subclass overrides take the same path, with what they return as results.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastkeras import _engine, ops
from fastkeras.core import config, tree
from fastkeras.core.scopes import LabelScope
from fastkeras.training.compile_loss import CompileLoss
from fastkeras.training.compile_metrics import CompileMetrics
from fastkeras.training.data_adapters import IterableAdapter, unpack_x_y_sample_weight
from fastkeras.training.logs import MetricOps, pythonify
from fastkeras.training.step import Step, StepFunction


class TrainerSteps:
    """What a model is compiled with, and what it does with one batch; the base of Trainer.

    Attributes:
        optimizer: the optimizer given to `compile`.
        loss: the loss given to `compile`.
        stop_training: set to True (by a callback, say) to end `fit` after the present batch.
        history: the History of the last `fit`.
    """

    # Defaults for models whose constructor has not run through here. The private ones are set past the
    # layers' attribute tracking: they are no part of the model's state.
    optimizer: Any = None
    loss: Any = None
    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    history: Any = None
    compiled = False
    steps_per_execution = 1
    train_function: Any = None
    test_function: Any = None
    predict_function: Any = None
    _initial_epoch: int | None = None
    _run_eagerly = False
    _jit_compile: Any = None
    _compile_loss: CompileLoss | None = None
    _compile_metrics: CompileMetrics | None = None
    _loss_tracker: Any = None
    _compile_config: dict[str, Any] | None = None
    _metric_ops: MetricOps | None = None
    _train_steps: StepFunction | None = None
    _test_steps: StepFunction | None = None
    _predict_steps: StepFunction | None = None
    _fast_predict: dict[Any, Any] | None = None

    # Configuration.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Configures the model for training.

        Which variables are trained is settled by the first step after `compile()`: call it again after
        changing `trainable` on a layer.

        Args:
            optimizer: name of an optimizer, or an `Optimizer`.
            loss: name of a loss, a function of `(y_true, y_pred)`, a `Loss`, or a list or dict of them by
                output.
            loss_weights: numbers the losses of the outputs are multiplied with, as a list or dict by output.
            metrics: list of metrics (names, functions, `Metric` objects), or a list or dict of lists by
                output. `"accuracy"` and `"crossentropy"` choose the binary, categorical or sparse kind by the
                shapes.
            weighted_metrics: the same, for metrics that take `sample_weight` and `class_weight` into account.
            run_eagerly: whether to run the steps as plain Python, for debugging.
            steps_per_execution: number of batches between calls of the callbacks' batch methods.
            jit_compile: accepted for compatibility: steps are always compiled unless `run_eagerly` is set.
            auto_scale_loss: whether to wrap the optimizer in a `LossScaleOptimizer` if the model's policy is
                `"mixed_float16"`.

        Raises:
            ValueError: if an argument names something that does not exist, or does not fit the others.

        Example:
            >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        from fastkeras import metrics as metrics_module
        from fastkeras import optimizers

        if isinstance(steps_per_execution, bool) or not isinstance(steps_per_execution, (int, np.integer)):
            raise ValueError(
                f"`steps_per_execution` must be a positive integer. Received: {steps_per_execution!r} "
                f"of type {type(steps_per_execution)}"
            )
        if steps_per_execution < 1:
            raise ValueError(
                f"`steps_per_execution` must be a positive integer. Received: {steps_per_execution}"
            )
        if jit_compile not in (True, False, "auto", None):
            raise ValueError(
                f"`jit_compile` must be True, False or 'auto'. Received: jit_compile={jit_compile!r}"
            )
        if run_eagerly and jit_compile is True:
            warnings.warn(
                "If `run_eagerly` is True, then `jit_compile` cannot also be True. Disabling `jit_compile`.",
                stacklevel=2,
            )
            jit_compile = False
        # Everything that can fail comes before the first change to the model.
        new_optimizer = optimizers.get(optimizer)
        if (
            auto_scale_loss
            and new_optimizer is not None
            and self.dtype_policy.name == "mixed_float16"  # type: ignore[attr-defined]
            and not isinstance(new_optimizer, optimizers.LossScaleOptimizer)
        ):
            new_optimizer = optimizers.LossScaleOptimizer(new_optimizer, name="loss_scale_optimizer")
        output_names = getattr(self, "output_names", None)
        empty = loss is None or (isinstance(loss, (list, tuple, dict)) and not loss)
        compile_loss = None if empty else CompileLoss(loss, loss_weights, output_names=output_names)
        compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            compile_metrics = CompileMetrics(metrics, weighted_metrics, output_names=output_names)

        self._set(
            optimizer=new_optimizer,
            loss=loss,
            compiled=True,
            stop_training=False,
            steps_per_execution=int(steps_per_execution),
            _run_eagerly=bool(run_eagerly),
            _jit_compile=jit_compile,
            _compile_loss=compile_loss,
            _compile_metrics=compile_metrics,
            _loss_tracker=metrics_module.Mean(name="loss"),
            _compile_config={
                "optimizer": new_optimizer,
                "loss": loss,
                "loss_weights": loss_weights,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": bool(run_eagerly),
                "steps_per_execution": int(steps_per_execution),
                "jit_compile": jit_compile,
            },
        )
        self._drop_steps()

    def _set(self, **values: Any) -> None:
        """Sets attributes without the tracking of layers."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _drop_steps(self) -> None:
        """Forgets everything compiled for training, testing and prediction."""
        self._set(
            train_function=None,
            test_function=None,
            predict_function=None,
            _train_steps=None,
            _test_steps=None,
            _predict_steps=None,
            _fast_predict=None,
            _metric_ops=None,
        )

    @property
    def run_eagerly(self) -> bool:
        """Whether the steps run as plain Python instead of compiled."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._set(_run_eagerly=bool(value))
        self._drop_steps()

    @property
    def jit_compile(self) -> bool:
        """Whether the steps are compiled."""
        return not self._run_eagerly if self._jit_compile in (None, "auto") else bool(self._jit_compile)

    @jit_compile.setter
    def jit_compile(self, value: bool | str) -> None:
        self._set(_jit_compile=value)

    @property
    def metrics(self) -> list[Any]:
        """The metrics of the model: loss, those of layers, those of `compile()`, losses of outputs."""
        found = [self._loss_tracker] if self._loss_tracker is not None else []
        found += super().metrics  # type: ignore[misc]
        if self._compile_metrics is not None:
            found.append(self._compile_metrics)
        if self._compile_loss is not None:
            found += self._compile_loss.metrics
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Resets the state of all metrics."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the present results of all metrics by name.

        Example:
            >>> model.get_metrics_result()
            {'loss': ..., 'accuracy': ...}
        """
        results: dict[str, Any] = {}
        for metric in self.metrics:
            if isinstance(metric, CompileMetrics) and not metric.built:
                continue
            result = metric.result()
            if isinstance(result, dict):
                results.update(result)
            else:
                results[metric.name] = result
        return results

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile()`, serialized; an empty dict if the model is not compiled."""
        if not self.compiled or self._compile_config is None:
            return {}
        from fastkeras.saving import serialize_keras_object

        return {name: serialize_keras_object(value) for name, value in self._compile_config.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model with the arguments `get_compile_config()` returned, and builds its optimizer."""
        if _overridden(self, "compile") and not _overridden(self, "get_compile_config"):
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's `compile()` method "
                "is custom. All subclassed Models that have `compile()` overridden should also override "
                "`get_compile_config()` and `compile_from_config(config)`. Alternatively, you can call "
                "`compile()` manually after loading.",
                stacklevel=2,
            )
            return
        from fastkeras.saving import deserialize_keras_object

        self.compile(**deserialize_keras_object(config))
        if self.optimizer is not None and self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _check_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"You must call `compile()` before using the model: `{method}()` was called on a model that "
                "has no optimizer, loss or metrics yet. Call e.g. model.compile(optimizer='adam', "
                "loss='mse') first."
            )

    # Steps.

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the total loss: that of `compile()` plus those of the layers. May be overridden.

        Args:
            x: the inputs.
            y: the targets.
            y_pred: the outputs of the model.
            sample_weight: weights of the samples.
            training: whether this is for a training step.

        Raises:
            ValueError: when training, if there is no loss at all.

        Example:
            ```python
            class MyModel(fastkeras.Model):
                def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                    return ops.mean(ops.square(y_pred - y)) + sum(self.losses)
            ```
        """
        total = None
        if self._compile_loss is not None:
            if y is None:
                raise ValueError(
                    "The model was compiled with a loss, but there are no targets: `y` is None. Pass `y`, or "
                    "data that yields `(x, y)`."
                )
            total = self._compile_loss(y, y_pred, sample_weight)
        for loss in self.losses:  # type: ignore[attr-defined]
            loss = ops.cast(loss, config.floatx())
            if len(loss.shape):
                loss = ops.sum(loss)
            total = loss if total is None else total + loss
        if total is None:
            if training:
                raise ValueError(
                    "No loss to compute. Provide a `loss` argument in `compile()`, call `add_loss()` in a "
                    "layer, or override `compute_loss()`."
                )
            total = ops.zeros((), dtype=config.floatx())
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the metrics with a batch and returns the results of all metrics. May be overridden.

        Args:
            x: the inputs.
            y: the targets.
            y_pred: the outputs of the model.
            sample_weight: weights of the samples.
        """
        self._update_compile_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _update_compile_metrics(self, y: Any, y_pred: Any, sample_weight: Any) -> None:
        if self._compile_metrics is not None:
            with LabelScope("metrics"):
                self._compile_metrics.update_state(y, y_pred, sample_weight)

    def _forward(self, x: Any, training: bool) -> Any:
        # Also where call() does not take `training`: the layers inside are to know.
        return self(x, training=training)  # type: ignore[operator]

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """The loss, tracked for the logs."""
        options = {"training": training} if _takes_training(type(self).compute_loss) else {}
        with LabelScope("loss"):
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **options)
        if loss is None:
            raise ValueError("`compute_loss()` returned None. Expected the total loss, a scalar tensor.")
        if self._loss_tracker is not None:
            # Batches count by their size, so that the epoch's loss is the mean over its samples.
            shape = tree.flatten(x)[0].shape
            with LabelScope("metrics"):
                self._loss_tracker.update_state(loss, sample_weight=shape[0] if shape else 1)
        return loss

    def _update_on(self, data: Any) -> tuple[Any, Any, Any, Any]:
        """Forward pass, loss, gradients and update for a batch; returns (x, y, y_pred, sample_weight)."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._forward(x, training=True)
        loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
        variables = self.trainable_variables  # type: ignore[attr-defined]
        if variables and self.optimizer is not None:
            if self.optimizer.built:
                self.optimizer.extend(variables)
            else:  # a dynamic scale must be a variable of the step from the first one on
                self.optimizer.build(variables)
            scaled = self.optimizer.scale_loss(loss)
            self.optimizer.apply(_engine.gradients([scaled], list(variables)), variables)
        elif not variables:
            warnings.warn(
                "The model does not have any trainable weights: training changes nothing. Check `trainable` "
                "of its layers.",
                stacklevel=2,
            )
        return x, y, y_pred, sample_weight

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on one batch. May be overridden.

        An override runs compiled as well: it is traced once for each shape of the data. It can use
        `fastkeras.GradientTape`, or `self.compute_loss` and `self.optimizer.apply`.

        Args:
            data: what the data yields: `x`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Results by name, for the logs.
        """
        x, y, y_pred, sample_weight = self._update_on(data)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _evaluate_on(self, data: Any) -> tuple[Any, Any, Any, Any]:
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._forward(x, training=False)
        self._loss_of(x, y, y_pred, sample_weight, training=False)
        return x, y, y_pred, sample_weight

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates one batch. May be overridden; see `train_step`."""
        x, y, y_pred, sample_weight = self._evaluate_on(data)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Returns the outputs for one batch. May be overridden; see `train_step`."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self._forward(x, training=False)

    def _train_body(self, data: Any) -> Any:
        if _overridden(self, "train_step") or _overridden(self, "compute_metrics"):
            return self.train_step(data)
        _, y, y_pred, sample_weight = self._update_on(data)
        self._update_compile_metrics(y, y_pred, sample_weight)
        return None

    def _test_body(self, data: Any) -> Any:
        if _overridden(self, "test_step") or _overridden(self, "compute_metrics"):
            return self.test_step(data)
        _, y, y_pred, sample_weight = self._evaluate_on(data)
        self._update_compile_metrics(y, y_pred, sample_weight)
        return None

    def _run_body(self, body: str, data: Any) -> Any:
        """Calls a step's body and takes back what it leaves behind when it fails, or has only been traced."""
        parts = [p for p in (self._compile_loss, self._compile_metrics) if p is not None]
        fresh = [p for p in parts if not p.built]
        try:
            return getattr(self, body)(data)
        except BaseException:
            for part in fresh:
                part.built = False
            raise
        finally:
            if _engine.in_trace():
                # Losses that layers added during the trace have no values outside of it.
                self._clear_losses()  # type: ignore[attr-defined]

    def _new_steps(self, body: str, name: str) -> StepFunction:
        # Weak, so that a model nobody refers to is freed at once, not when the cycle collector comes by.
        me = weakref.ref(self)

        def run(data: Any) -> Any:
            return me()._run_body(body, data)  # type: ignore[union-attr]

        def forget() -> None:
            me()._set(_metric_ops=None)  # type: ignore[union-attr]

        return StepFunction(run, name, self._run_eagerly, on_trace=forget)

    def make_train_function(self, force: bool = False) -> Any:
        """Sets and returns `train_function`, which trains on the next batch of an iterator."""
        if self._train_steps is None or force:
            steps = self._new_steps("_train_body", "train_step")
            self._set(_train_steps=steps, train_function=self._from_iterator(steps))
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Sets and returns `test_function`, which evaluates the next batch of an iterator."""
        if self._test_steps is None or force:
            steps = self._new_steps("_test_body", "test_step")
            self._set(_test_steps=steps, test_function=self._from_iterator(steps))
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        """Sets and returns `predict_function`, which predicts for the next batch of an iterator."""
        if self._predict_steps is None or force:
            steps = self._new_steps("predict_step", "predict_step")
            self._set(_predict_steps=steps, predict_function=self._from_iterator(steps), _fast_predict={})
        return self.predict_function

    def _from_iterator(self, steps: StepFunction) -> Any:
        adapter = IterableAdapter(())
        me = weakref.ref(self)

        def function(iterator: Iterator[Any]) -> Any:
            signature, arrays = adapter.standardize(next(iterator))
            step = steps.step(signature)
            result = step.rebuild(step.run(*arrays))
            return me().get_metrics_result() if result is None else result  # type: ignore[union-attr]

        return function

    def _steps_for(self, phase: str) -> StepFunction:
        """The compiled steps of a phase, or those of the function a subclass makes instead."""
        make = f"make_{phase}_function"
        if _overridden(self, make):
            getattr(self, make)()
            function = getattr(self, f"{phase}_function")
            return StepFunction(lambda data: function(iter([data])), f"{phase}_function", eager=True)
        steps = getattr(self, f"_{phase}_steps")
        if steps is None:
            _check_step_arguments(self, f"{phase}_step")
            getattr(self, make)()
            steps = getattr(self, f"_{phase}_steps")
        return steps

    def _metrics_now(self) -> MetricOps:
        found = self._metric_ops
        if found is None:
            found = MetricOps(self)
            self._set(_metric_ops=found)
        steps = (self._train_steps, self._test_steps)
        # Metrics that need values (NumPy in update_state, say) may keep state that is not in variables.
        found.eager = self._run_eagerly or any(s is not None and s.eager for s in steps)
        return found

    def _read(self, step: Step, outputs: list[Any]) -> dict[str, Any]:
        """The results after a step, for the logs."""
        if step.returns_nothing:
            return self._metrics_now().read()
        return pythonify(step.rebuild(outputs))

    def _final_logs(self, step: Step | None, outputs: list[Any]) -> dict[str, Any]:
        """The results of an epoch: those of the metrics, if these are what the step returns."""
        if step is None:
            return {}
        logs = self._read(step, outputs)
        if not step.returns_nothing:
            results = self._metrics_now().read()
            if results.keys() == logs.keys():
                return results
        return logs

    def stateless_compute_loss(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[list[Any], list[Any], list[Any]]]:
        """`compute_loss` as a function of the values of the variables, changing nothing.

        Args:
            trainable_variables: values in the order of `trainable_variables`.
            non_trainable_variables: values in the order of `non_trainable_variables`.
            metrics_variables: values in the order of `metrics_variables`.
            x, y, y_pred, sample_weight, training: see `compute_loss`.

        Returns:
            The loss, and the three lists of values after it.
        """
        from fastkeras.core.scopes import StatelessScope

        groups = []
        for name, values in (
            ("trainable_variables", trainable_variables),
            ("non_trainable_variables", non_trainable_variables),
            ("metrics_variables", metrics_variables),
        ):
            variables = getattr(self, name)
            if len(variables) != len(values):
                raise ValueError(
                    f"Argument `{name}` must hold one value for each of the {len(variables)} {name} of the "
                    f"model. Received {len(values)} values."
                )
            groups.append(list(zip(variables, values)))
        with StatelessScope([pair for group in groups for pair in group]) as scope:
            loss = self._loss_of(x, y, y_pred, sample_weight, training)
        after = []
        for group in groups:
            current = [(scope.get_current_value(v), old) for v, old in group]
            after.append([old if new is None else new for new, old in current])
        return loss, (after[0], after[1], after[2])


def _overridden(model: Any, method: str) -> bool:
    return getattr(type(model), method) is not getattr(TrainerSteps, method) or method in model.__dict__


def _check_step_arguments(model: Any, name: str) -> None:
    """Refuses steps written for Keras on JAX, which take and return the state of the model."""
    if not _overridden(model, name):
        return
    parameters = list(inspect.signature(getattr(model, name)).parameters)
    if parameters[:2] == ["state", "data"]:
        raise TypeError(
            f"{type(model).__name__}.{name}() takes (state, data), the form for Keras on JAX. Expected "
            "(data): use the model's variables directly, `self.compute_loss` and `self.optimizer.apply`, and "
            "return the logs."
        )


def _takes_training(compute_loss: Any, _cache: dict[Any, bool] = {}) -> bool:  # noqa: B006 - the cache is the point
    """Whether `compute_loss` takes `training`: overrides written for older versions do not."""
    found = _cache.get(compute_loss)
    if found is None:
        parameters = inspect.signature(compute_loss).parameters.values()
        found = any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
        _cache[compute_loss] = found
    return found
