"""What an optimizer is made of besides its update: variables, learning rate, configuration, and files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastkeras import initializers, ops
from fastkeras.core.naming import name_scope
from fastkeras.core.tracking import Tracker
from fastkeras.core.variable import Variable
from fastkeras.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

_SHARED_ARGUMENTS = (
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
    "name",
)


def shared_arguments(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments every optimizer has, from the `locals()` of an `__init__` that takes them and `**kwargs`."""
    return {**{name: scope[name] for name in _SHARED_ARGUMENTS}, **scope["kwargs"]}


class OptimizerState:
    """Base of `Optimizer`: holds its variables and hyperparameters; see there."""

    name: str
    built: bool
    weight_decay: float | None
    clipnorm: float | None
    global_clipnorm: float | None
    clipvalue: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None

    def _init_state(self) -> None:
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._tracker = Tracker({"variables": (lambda x: isinstance(x, Variable), self._variables)})
        self._trainable_variables_indices: dict[int, int] = {}

    def _add_scalar(self, value: float, name: str, dtype: str) -> Variable:
        with name_scope(self.name, caller=self):
            variable = Variable(
                value, name=name, dtype=dtype, trainable=False, aggregation="only_first_replica"
            )
        self._track_variable(variable)
        return variable

    def _track_variable(self, variable: Variable) -> None:
        self._tracker.add_to_store("variables", variable)

    @property
    def variables(self) -> list[Variable]:
        """State of the optimizer: `iteration`, `learning_rate` (unless it is a schedule), then the slots."""
        return self._variables[:]

    @property
    def iterations(self) -> Any:
        """Number of updates of the variables: of calls to `apply`, or of every
        `gradient_accumulation_steps`-th.
        """
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations.value, self.gradient_accumulation_steps)
        return self._iterations

    def _var_key(self, variable: Variable) -> int:
        return id(variable)

    def _get_variable_index(self, variable: Variable) -> int:
        return self._trainable_variables_indices[self._var_key(variable)]

    def _overwrite_variable_with_gradient(self, variable: Variable) -> bool:
        return getattr(variable, "overwrite_with_gradient", False)

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Create a state variable.

        Args:
            shape: its shape.
            initializer: an initializer, or the name of one.
            dtype: its dtype; `floatx()` if None.
            aggregation: how replicas combine their values.
            layout: how it is laid out over devices.
            name: its name.
        """
        self._check_super_called()
        with name_scope(self.name, caller=self):
            variable = Variable(
                initializer=initializers.get(initializer),
                shape=tuple(shape),
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                layout=layout,
                name=name,
            )
        self._track_variable(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """Create a slot of the shape and dtype of a model variable.

        Args:
            reference_variable: the model variable.
            name: what the slot is: the momentum of `dense/kernel` is named `dense_kernel_momentum`.
            initializer: an initializer, or the name of one.
        """
        owner = getattr(reference_variable, "path", None) or str(reference_variable.name)
        owner = owner.replace("/", "_").replace(":", "_")
        return self.add_variable(
            shape=reference_variable.shape,
            initializer=initializer,
            dtype=reference_variable.dtype,
            name=f"{owner}_{name or 'var'}",
            layout=getattr(reference_variable, "_layout", None),
        )

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: str | Sequence[str], initializer: Any = "zeros"
    ) -> Any:
        """Create one or more slots for each model variable.

        Args:
            trainable_variables: the model variables. One whose `overwrite_with_gradient` is set gets None.
            name: name of the slot, or several names.
            initializer: an initializer or its name, or one for each name.

        Returns:
            A list of slots, or a tuple with a list for each name.

        Raises:
            ValueError: if names and initializers differ in number.
        """
        names = [name] if isinstance(name, str) else list(name)
        single = isinstance(initializer, (str, initializers.Initializer))
        inits = [initializer] * len(names) if single else list(initializer)
        if len(names) != len(inits):
            raise ValueError(
                "The number of provided names must match the number of provided initializers. Received "
                f"name={name!r}, "
                f"initializer={initializer!r}"
            )
        slots: tuple[list[Variable | None], ...] = tuple([] for _ in names)
        # All slots of one variable before those of the next: the order of the variables in saved files.
        for variable in trainable_variables:
            for slot, slot_name, init in zip(slots, names, inits):
                if self._overwrite_variable_with_gradient(variable):
                    slot.append(None)
                else:
                    slot.append(self.add_variable_from_reference(variable, name=slot_name, initializer=init))
        return slots[0] if isinstance(name, str) else slots

    def assign(self, variable: Variable, value: Any) -> None:
        """`variable.assign(value)`; what `update_step` should use."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """`variable.assign_add(value)`; what `update_step` should use."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """`variable.assign_sub(value)`; what `update_step` should use."""
        variable.assign_sub(value)

    # Learning rate.

    @property
    def learning_rate(self) -> Any:
        """The learning rate: the variable that holds it, or the present value of the schedule.

        Assigning a number changes the variable, also for a training step that is compiled already. Assigning
        a schedule or a callable replaces it.
        """
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        previous = self._learning_rate
        if isinstance(learning_rate, LearningRateSchedule) or (
            callable(learning_rate) and not isinstance(learning_rate, Variable)
        ):
            self._learning_rate = learning_rate
            if isinstance(previous, Variable):
                self._tracker.untrack(previous)
            return
        if not isinstance(previous, Variable):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` or a callable as its "
                "`learning_rate`, so the "
                "learning rate cannot be set to a number. Create the optimizer with a float `learning_rate` "
                "to set it."
            )
        previous.assign(learning_rate)

    def _get_current_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self._iterations)
        return rate() if callable(rate) and not isinstance(rate, Variable) else rate

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the variables of the optimizer.

        Args:
            weights: a value for each of `variables`.

        Raises:
            ValueError: if the optimizer is not built, or a shape is wrong.
        """
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. Please call "
                "`optimizer.build(trainable_variables)` to create the optimizer weights before calling "
                "`set_weights()`."
            )
        if len(weights) != len(self.variables):
            raise ValueError(
                f"`set_weights()` needs one value for each of the {len(self.variables)} variables of the "
                "optimizer. "
                f"Received {len(weights)} values."
            )
        for variable, weight in zip(self.variables, weights):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable {variable.path} has shape {tuple(variable.shape)} not compatible "
                    "with "
                    f"provided weight shape {tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Write the state to a group of a weights file."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read the state from a group of a weights file; one of another size is skipped with a warning."""
        if len(store.keys()) != len(self.variables):
            hint = " Has the optimizer been built?" if not self.built else ""
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self.variables)} "
                f"variables whereas the saved optimizer has {len(store.keys())} variables.{hint}",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(i)]))

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an optimizer like this one, without its state."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate.numpy())
        else:
            from fastkeras.saving import serialize_keras_object

            rate = serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """An optimizer from what `get_config` returned.

        Args:
            config: the arguments.
            custom_objects: classes and functions of the user, by name.
        """
        if isinstance(config.get("learning_rate"), dict):
            from fastkeras.saving import deserialize_keras_object

            rate = deserialize_keras_object(config["learning_rate"], custom_objects=custom_objects)
            config = {**config, "learning_rate": rate}
        return cls(**config)

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_super_called()
        tracker = self.__dict__.get("_tracker")
        # What a property takes is an argument (`optimizer.learning_rate = variable`), not a part of the
        # state.
        if tracker is not None and not isinstance(getattr(type(self), name, None), property):
            value = tracker.track(value)
        # An update that was traced may have read the old value.
        self.__dict__.pop("_update_traces", None)
        object.__setattr__(self, name, value)

    def _check_super_called(self) -> None:
        if "_lock" not in self.__dict__:
            raise RuntimeError(
                f"In optimizer '{self.__class__.__name__}', you forgot to call `super().__init__()` as the "
                "first "
                "statement in the `__init__()` method. Go add it!"
            )

    def _obj_type(self) -> str:
        return "Optimizer"
