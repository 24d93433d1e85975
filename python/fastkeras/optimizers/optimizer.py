"""`Optimizer`, the base class: state variables, clipping, weight decay, averaging and the order of an update.

Everything an update does is recorded as ops: it runs inside the compiled training step, where no tensor has a
value, so what happens only on some steps (gradient accumulation, overwriting by averages) is selected with
`where`. Values that all variables share (learning rate, bias corrections) are computed once per update, see
`_shared`; what is left for each variable is elementwise, so that the engine can update all of them in one
loop.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastkeras import _engine, ops
from fastkeras.core import config as _config
from fastkeras.core.naming import auto_name, name_scope
from fastkeras.core.scopes import LabelScope, StatelessScope, in_stateless_scope
from fastkeras.core.tracking import no_automatic_dependency_tracking
from fastkeras.core.variable import Variable
from fastkeras.optimizers.clipping import clip_by_global_norm, clip_by_norm
from fastkeras.optimizers.optimizer_state import OptimizerState
from fastkeras.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

# Traces of updates kept: one for each set of variables that gets gradients (a GAN's optimizer has one).
_UPDATE_TRACES = 8


class Optimizer(OptimizerState):
    """Base class of optimizers.

    A subclass creates its slots in `build` with `add_optimizer_variables`, and changes one variable in
    `update_step(gradient, variable, learning_rate)`.

    Args:
        learning_rate: a float, a `LearningRateSchedule`, or a callable without arguments that returns the
            rate.
        weight_decay: if set, each step first subtracts `weight_decay * learning_rate * variable`.
        clipnorm: if set, the gradient of each variable is scaled down to at most this L2 norm.
        clipvalue: if set, gradients are clipped to `[-clipvalue, clipvalue]`.
        global_clipnorm: if set, all gradients are scaled by one factor, so that their joint L2 norm is at
            most this.
        use_ema: whether to keep an exponential moving average of the variables, which replaces them at the
            end of `fit` (see `finalize_variable_values`).
        ema_momentum: `average = ema_momentum * average + (1 - ema_momentum) * variable`.
        ema_overwrite_frequency: if set, variables are replaced by their averages every this many steps.
        loss_scale_factor: if set, `scale_loss` multiplies by it, and gradients are divided by it.
        gradient_accumulation_steps: if set, variables change only every this many steps, by the mean
            gradient.
        name: name of the optimizer; made from the class name if None.

    Raises:
        ValueError: if `learning_rate` is none of these, more than one clipping argument is set, or another
            argument is out of range or unknown.

    Example:

    ```python
    class SignSGD(fastkeras.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * ops.sign(gradient))
    ```
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        object.__setattr__(self, "_lock", False)
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                "Argument `decay` is no longer supported and will be ignored. Pass a schedule such as "
                "`schedules.InverseTimeDecay` as `learning_rate` instead.",
                stacklevel=3,
            )
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        if gradient_accumulation_steps and not gradient_accumulation_steps >= 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received: "
                f"gradient_accumulation_steps={gradient_accumulation_steps}"
            )
        if use_ema:
            if not 0 <= ema_momentum <= 1:
                raise ValueError(
                    f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}"
                )
            if ema_overwrite_frequency and (
                not isinstance(ema_overwrite_frequency, int) or ema_overwrite_frequency < 1
            ):
                raise ValueError(
                    "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                    f"ema_overwrite_frequency={ema_overwrite_frequency}"
                )
        if sum(a is not None for a in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.name = auto_name(self.__class__.__name__) if name is None else name
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False

        self._init_state()
        # Values that all variables share during one update; None outside of updates.
        self._shared_values: dict[Any, Any] | None = None
        # An optimizer inside another one leaves it to that one to run what has been recorded.
        self._runs_pending = True

        self._iterations = self._add_scalar(0, "iteration", "int32")
        if callable(learning_rate) or isinstance(learning_rate, LearningRateSchedule):
            self._learning_rate = learning_rate
        elif isinstance(learning_rate, float):
            self._learning_rate = self._add_scalar(learning_rate, "learning_rate", _config.floatx())
        else:
            raise ValueError(
                "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a "
                "callable "
                "(that takes no argument and returns the learning rate). Received instead: "
                f"learning_rate={learning_rate!r}"
            )

    @no_automatic_dependency_tracking
    def build(self, variables: Sequence[Variable]) -> None:
        """Create the slots for `variables`. Subclasses call `super().build(variables)` first."""
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        for i, variable in enumerate(variables):
            self._trainable_variables_indices[self._var_key(variable)] = i
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(v, name="gradient_accumulator") for v in variables
            ]
        self._trainable_variables = list(variables)
        self.built = True

    # Updates.

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Change `variable` and its slots by one gradient. To be written by subclasses."""
        raise NotImplementedError(f"{self.__class__.__name__} must implement update_step().")

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """`apply` for pairs of gradient and variable, as in tf.keras.

        Returns:
            The iteration counter.
        """
        grads, variables = zip(*grads_and_vars)
        self.apply(grads, variables)
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Update variables with their gradients.

        Args:
            grads: one gradient for each variable; None for a variable to be left alone.
            trainable_variables: the variables; those the optimizer was built with if None. The first call
                builds the optimizer if `build` has not been called.

        Raises:
            ValueError: if every gradient is None, their number is wrong, or a variable is unknown.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        grads, variables = self._filter_empty_gradients(grads, variables)
        grads = [ops.convert_to_tensor(g) for g in grads]
        if _engine.in_trace() or in_stateless_scope():
            self._update(grads, variables)
        else:
            self._update_as_recorded(grads, variables)
            self._run_pending()

    def _update_as_recorded(self, grads: list[Any], variables: list[Variable]) -> None:
        """The update from a trace of it, so that eager code pays for its Python once.

        Not for an update that depends on Python state: one that asks for values or sets attributes of the optimizer
        while it is traced, or a learning rate that is a function of the user's.
        """
        traces = self.__dict__.get("_update_traces")
        if traces is None:
            rate = self._learning_rate
            plain = callable(rate) and not isinstance(rate, (Variable, LearningRateSchedule))
            traces = self.__dict__["_update_traces"] = None if plain else {}
        if traces is None:
            self._update(grads, variables)
            return
        key = tuple(
            (id(v), id(v.constraint), v.overwrite_with_gradient, g.dtype) for g, v in zip(grads, variables)
        )
        if key not in traces:
            if len(traces) >= _UPDATE_TRACES:
                traces.clear()
            traces[key] = self._trace_update(grads, variables)
            # What setting an attribute drops (see OptimizerState.__setattr__), tracing may have dropped.
            if self.__dict__.get("_update_traces") is not traces:
                self.__dict__["_update_traces"] = traces
                traces[key] = None
        executable = traces[key]
        if executable is None:
            self._update(grads, variables)
        else:
            executable.record(*grads)

    def _trace_update(self, grads: list[Any], variables: list[Variable]) -> Any:
        trace = _engine.Trace(f"{self.name}.apply")
        try:
            with trace:
                self._update([trace.input(g.shape, g.dtype) for g in grads], variables)
            return trace.compile([])
        except _engine.TracedValueError:
            return None

    def _update(self, grads: list[Any], variables: list[Variable]) -> None:
        with LabelScope("optimizer"):
            grads, variables = self._overwrite_variables_directly_with_gradients(grads, variables)
            if grads:
                if self.loss_scale_factor is not None:
                    grads = [g / self.loss_scale_factor for g in grads]
                self._backend_apply_gradients(grads, variables)
                for variable in variables:
                    if variable.constraint is not None:
                        variable.assign(variable.constraint(variable.value))
            self._iterations.assign_add(1)

    def _run_pending(self) -> None:
        """Outside of a compiled step, the end of an update is where one ends: run what is recorded, in one
        piece.
        """
        if self._runs_pending and not _engine.in_trace() and not in_stateless_scope():
            _engine.flush(together=True)

    def _variables_for(self, grads: Sequence[Any], variables: Sequence[Variable] | None) -> list[Variable]:
        if variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be built on a "
                    "list of "
                    "variables. Call `optimizer.build(trainable_variables)` first."
                )
            variables = self._trainable_variables
        else:
            variables = list(variables)
            if not self.built:
                self._build_outside_trace(variables)
            for v in variables:
                if self._var_key(v) not in self._trainable_variables_indices:
                    raise ValueError(
                        f"Unknown variable: {v}. This optimizer can only be called for the variables it was "
                        "originally built with. When working with a new set of variables, you should "
                        "recreate a new "
                        "optimizer instance."
                    )
        if len(grads) != len(variables):
            raise ValueError(
                "The gradients must match the variables one-to-one. Received a list of "
                f"{len(grads)} gradients for {len(variables)} trainable variables."
            )
        return list(variables)

    def _build_outside_trace(self, variables: Sequence[Variable]) -> None:
        with name_scope(self.name, caller=self), _engine.suspend_trace():
            self.build(variables)
        self.built = True

    def extend(self, variables: Sequence[Variable]) -> None:
        """Makes slots for variables that came after `build`; those that have slots keep them.

        `fit` calls it when a model's `call()` reaches a layer for the first time in a later batch.

        Args:
            variables: the trainable variables of the model, known ones included.
        """
        new = [v for v in variables if self._var_key(v) not in self._trainable_variables_indices]
        if new:
            with name_scope(self.name, caller=self), _engine.suspend_trace():
                self._extend(new)
            self.__dict__.pop("_update_traces", None)

    def _extend(self, new: list[Variable]) -> None:
        # Built for all, then what there was takes its place again: the order of the variables, which files
        # keep, is that of an optimizer built for all at once.
        known, before, old = list(self._trainable_variables), list(self._variables), dict(self.__dict__)
        self.__dict__["built"] = False
        self.build([*known, *new])
        kept: dict[int, Variable] = {}  # by the id of the one made in its place
        for name, value in old.items():
            now = self.__dict__.get(name)
            if isinstance(value, Variable) and now is not value:
                kept[id(now)] = value
                self.__dict__[name] = value
            elif isinstance(value, list) and isinstance(now, list) and now is not value:
                if len(value) == len(known) and len(now) == len(known) + len(new):
                    kept.update(
                        (id(made), slot) for made, slot in zip(now, value) if isinstance(slot, Variable)
                    )
                    now[: len(value)] = value
        made = [kept.get(id(v), v) for v in self._variables[len(before) :]]
        again = {id(v) for v in made}
        self._variables[:] = [v for v in before if id(v) not in again] + made
        self.built = True

    def _filter_empty_gradients(
        self, grads: Sequence[Any], variables: Sequence[Variable]
    ) -> tuple[list[Any], list[Variable]]:
        missing = [v.path for g, v in zip(grads, variables) if g is None]
        if len(missing) == len(grads):
            raise ValueError(
                f"No gradients provided for any variable: all {len(grads)} are None. Does the loss depend "
                "on the "
                "variables, through differentiable ops only?"
            )
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If using "
                "`model.compile()`, did you forget to provide a `loss` argument?",
                stacklevel=3,
            )
        kept = [(g, v) for g, v in zip(grads, variables) if g is not None]
        return [g for g, _ in kept], [v for _, v in kept]

    def _overwrite_variables_directly_with_gradients(
        self, grads: list[Any], variables: list[Variable]
    ) -> tuple[list[Any], list[Variable]]:
        """Give variables marked so their "gradient" as their value, and return the others.

        With gradient accumulation, the largest one of the accumulated steps becomes the value.
        """
        others = []
        for g, v in zip(grads, variables):
            if not self._overwrite_variable_with_gradient(v):
                others.append((g, v))
            elif self.gradient_accumulation_steps:
                update = self._is_update_step()
                accumulator = self._accumulated_gradients[self._get_variable_index(v)]
                largest = ops.maximum(g, accumulator.value)
                v.assign(ops.where(update, largest, v.value))
                accumulator.assign(ops.where(update, ops.zeros_like(largest), largest))
            else:
                v.assign(g)
        return [g for g, _ in others], [v for _, v in others]

    def _is_update_step(self) -> Any:
        """Whether accumulated gradients are due, as a scalar tensor."""
        steps = self.gradient_accumulation_steps
        return ops.equal(ops.mod(self._iterations.value + 1, steps), 0)

    def _backend_apply_gradients(self, grads: list[Any], trainable_variables: list[Variable]) -> None:
        if self.gradient_accumulation_steps:
            self._accumulate_or_update(grads, trainable_variables)
        else:
            self._update_variables(grads, trainable_variables)
        if self.use_ema:
            self._update_model_variables_moving_average(self._trainable_variables)
            if self.ema_overwrite_frequency:
                due = ops.equal(ops.mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
                for variable, average in self._averaged(self._trainable_variables):
                    variable.assign(ops.where(due, average.value, variable.value))

    def _update_variables(self, grads: list[Any], variables: list[Variable]) -> None:
        grads = self._clip_gradients(grads)
        self.__dict__["_shared_values"] = {}
        try:
            self._apply_weight_decay(variables)
            self._backend_update_step(grads, variables, self.learning_rate)
        finally:
            self.__dict__["_shared_values"] = None

    def _accumulate_or_update(self, grads: list[Any], variables: list[Variable]) -> None:
        """Update with the mean of the gradients if it is time, else add to the accumulators.

        The update is always computed, and then kept or dropped: which, is known only when the step runs.
        """
        steps = self.gradient_accumulation_steps
        update = self._is_update_step()
        accumulators = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
        sums = [g + a.value for g, a in zip(grads, accumulators)]
        with KeepUnless(update, [*variables, *self.variables]):
            self._update_variables([s / steps for s in sums], variables)
        for a, s in zip(accumulators, sums):
            a.assign(ops.where(update, ops.zeros_like(s), s))

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Variable], learning_rate: Any
    ) -> None:
        for grad, variable in zip(grads, trainable_variables):
            self.update_step(grad, variable, learning_rate)

    def _shared(self, compute: Callable[[str, Any], Any], variable: Variable, learning_rate: Any) -> Any:
        """`compute(dtype, learning_rate)` for the dtype of `variable`, once per update rather than per
        variable.
        """
        dtype = variable.dtype
        values = self._shared_values
        # Keyed by the rate as well: an optimizer may give variables different ones.
        key = (compute.__name__, dtype, id(learning_rate))
        found = None if values is None else values.get(key)
        if found is None:
            found = compute(dtype, ops.cast(learning_rate, dtype))
            if values is not None:
                # The rate is kept too, so that its id stays its own.
                values[key] = found
                values[id(learning_rate)] = learning_rate
        return found

    def _rate(self, dtype: str, learning_rate: Any) -> Any:
        """For `_shared`: just the learning rate, in the dtype of the variable."""
        return learning_rate

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if self.clipnorm and self.clipnorm > 0:
            return [None if g is None else clip_by_norm(g, self.clipnorm) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue and self.clipvalue > 0:
            return [None if g is None else ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    # Weight decay.

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Exclude variables from weight decay. Call it before training.

        Args:
            var_list: variables to exclude.
            var_names: patterns; a variable whose name contains one is excluded: `["bias"]` excludes all
                biases.
        """
        self._exclude_from_weight_decay = {self._var_key(v) for v in var_list or ()}
        patterns = sorted(set(var_names or ()))
        self._exclude_from_weight_decay_pattern = re.compile("|".join(patterns)) if patterns else None

    def _use_weight_decay(self, variable: Variable) -> bool:
        if self._var_key(variable) in getattr(self, "_exclude_from_weight_decay", ()):
            return False
        pattern = getattr(self, "_exclude_from_weight_decay_pattern", None)
        return pattern is None or pattern.search(variable.name) is None

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        if self.weight_decay is None:
            return
        rate = self.learning_rate
        for variable in variables:
            if self._use_weight_decay(variable):
                factor = self._shared(self._decay_factor, variable, rate)
                variable.assign(variable.value - variable.value * factor)

    def _decay_factor(self, dtype: str, learning_rate: Any) -> Any:
        return ops.cast(self.weight_decay, dtype) * learning_rate

    # Moving averages.

    def _averaged(self, variables: Sequence[Variable]) -> list[tuple[Variable, Variable]]:
        averages = self._model_variables_moving_average
        if len(variables) != len(averages):
            raise ValueError(
                f"The optimizer averages {len(averages)} variables, received {len(variables)}. Please check "
                "if the "
                "optimizer was called on your model."
            )
        return [(v, a) for v, a in zip(variables, averages) if a is not None]

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[Variable]) -> None:
        # On the first step the average is the variable itself.
        later = ops.not_equal(self.iterations, 0)
        momenta: dict[str, Any] = {}
        for variable, average in self._averaged(trainable_variables):
            dtype = variable.dtype
            if dtype not in momenta:
                momenta[dtype] = ops.cast(later, dtype) * self.ema_momentum
            momentum = momenta[dtype]
            average.assign(momentum * average.value + (1.0 - momentum) * variable.value)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """Give variables their final values: the moving averages, with `use_ema`.

        Args:
            var_list: the variables of the model. `fit` calls this after the last epoch.
        """
        if self.use_ema:
            for variable, average in self._averaged(var_list):
                variable.assign(average.value)

    # Losses, and updates as functions.

    def scale_loss(self, loss: Any) -> Any:
        """`loss` multiplied by `loss_scale_factor`, if one is set."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """`apply` as a function: values in, new values out, changing nothing.

        Args:
            optimizer_variables: a value for each of `variables`.
            grads: a gradient for each trainable variable.
            trainable_variables: a value for each variable the optimizer was built with.

        Returns:
            New values of the trainable variables and of the optimizer's variables.

        Raises:
            ValueError: if the optimizer is not built, or a number of values is wrong.
        """
        self._check_super_called()
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {self.__class__.__name__} must be built (i.e. its variables "
                "must have "
                "been created). You can build it via `optimizer.build(trainable_variables)`."
            )
        own = self.variables
        for what, given, wanted in (
            ("optimizer_variables", optimizer_variables, own),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(given) != len(wanted):
                raise ValueError(
                    f"Argument `{what}` must hold one value for each of the {len(wanted)} variables of "
                    f"{self.__class__.__name__}. Received {len(given)} values."
                )
        mapping = [*zip(self._trainable_variables, trainable_variables), *zip(own, optimizer_variables)]
        with StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads)
        return (
            [scope.get_current_value(v) for v in self._trainable_variables],
            [scope.get_current_value(v) for v in own],
        )


_open = threading.local()


class KeepUnless:
    """Context: what is assigned to `variables` inside takes effect only where the scalar tensor `condition`
    is true.
    """

    def __init__(self, condition: Any, variables: Sequence[Variable]) -> None:
        self._condition = condition
        self._variables = variables

    @staticmethod
    def is_open() -> bool:
        """Whether this thread is inside one: arithmetic then shares a loop with the choice, a kernel cannot."""
        return getattr(_open, "depth", 0) > 0

    def __enter__(self) -> None:
        _open.depth = getattr(_open, "depth", 0) + 1
        self._before = [v.value for v in self._variables]

    def __exit__(self, exc_type: Any, *exc: Any) -> None:
        _open.depth -= 1
        if exc_type is None:
            for variable, before in zip(self._variables, self._before):
                after = variable.value
                if after is not before:
                    variable.assign(ops.where(self._condition, after, before))
