"""`MultiOptimizer`: several optimizers, one for each variable, chosen by an `OptimizerMap` or a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from fastkeras import _engine
from fastkeras.core.variable import Variable
from fastkeras.optimizers.loss_scale_optimizer import LossScaleOptimizer
from fastkeras.optimizers.optimizer import Optimizer


class OptimizerMap(MutableMapping):
    """Optimizers by variable path: exact paths, or regular expressions that match a whole path.

    Args:
        default_optimizer: optimizer of the variables that no key matches.
        optimizer_map: keys and optimizers to begin with.

    Raises:
        TypeError: if `default_optimizer` is not an optimizer, or `optimizer_map` not a dictionary.

    Example:

    >>> chosen = OptimizerMap(fastkeras.optimizers.SGD(), {"encoder/.*": fastkeras.optimizers.Adam()})
    >>> type(chosen["encoder/dense/kernel"]).__name__
    'Adam'
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                f"default_optimizer must be a Keras Optimizer instance. Received: {default_optimizer}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"optimizer_map must be a dictionary. Received: {optimizer_map}")
        self._default_optimizer = default_optimizer
        self._optimizer_map = optimizer_map or {}

    @property
    def default_optimizer(self) -> Optimizer:
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        """The optimizer for the variable path `key`.

        Raises:
            ValueError: if several patterns match it.
        """
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matching = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(f"Multiple optimizers assigned to variable {key}: it matches {matching}.")
        return self._optimizer_map[matching[0]] if matching else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ValueError(f"key must be a string. Received: {key}")
        if key in self._optimizer_map:
            raise ValueError(
                f"'{key}' already exists in the OptimizerMap with value {self._optimizer_map[key]}. Please "
                "make sure "
                "to not use duplicated keys."
            )
        _check_inner(optimizer, key)
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer for a variable."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving import serialize_keras_object

        return {
            "default_optimizer": serialize_keras_object(self._default_optimizer),
            "optimizer_map": serialize_keras_object(self._optimizer_map),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> OptimizerMap:
        from fastkeras.saving import deserialize_keras_object

        default = deserialize_keras_object(config["default_optimizer"], custom_objects=custom_objects)
        return cls(default, deserialize_keras_object(config["optimizer_map"], custom_objects=custom_objects))


def _check_inner(optimizer: Any, owner: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"The optimizer for {owner} must be an Optimizer instance. Received: {optimizer}")
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        raise ValueError(
            f"{type(optimizer).__name__} cannot be used inside a MultiOptimizer. Received it for {owner}."
        )


class MultiOptimizer(Optimizer):
    """Updates each variable by the optimizer chosen for it.

    There is no `learning_rate`: set those of the optimizers in `optimizers`.

    Args:
        optimizer_map: an `OptimizerMap`, or a function from a variable to an optimizer (which should return
            the same one for the variables that belong together).
        loss_scale_factor: see `Optimizer`; takes the place of that of the inner optimizers.
        name: name of the optimizer.

    Example:

    ```python
    model.compile(optimizer=MultiOptimizer(OptimizerMap(SGD(), {"encoder/.*": Adam()})), loss="mse")
    ```
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._inner_optimizers: list[Optimizer] = []
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in [*optimizer_map.values(), optimizer_map.default_optimizer]:
                self._index_of(optimizer)

    def _index_of(self, optimizer: Optimizer) -> int:
        """Place of `optimizer` among the inner ones, added if it is new."""
        for i, known in enumerate(self._inner_optimizers):
            if known is optimizer:
                return i
        optimizer.loss_scale_factor = self.loss_scale_factor
        optimizer._runs_pending = False
        self._inner_optimizers.append(optimizer)
        return len(self._inner_optimizers) - 1

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        self._var_to_optimizer_idx: dict[int, int] = {}
        for variable in var_list:
            optimizer = self._optimizer_map(variable)
            _check_inner(optimizer, f"variable {variable.path}")
            self._var_to_optimizer_idx[self._var_key(variable)] = self._index_of(optimizer)
        for i, variables in enumerate(self._by_optimizer(var_list)):
            if variables:
                self._inner_optimizers[i].build(variables)
        super().build(var_list)

    def _extend(self, new: list[Variable]) -> None:
        for variable in new:
            optimizer = self._optimizer_map(variable)
            _check_inner(optimizer, f"variable {variable.path}")
            self._var_to_optimizer_idx[self._var_key(variable)] = self._index_of(optimizer)
            self._trainable_variables_indices[self._var_key(variable)] = len(self._trainable_variables)
            self._trainable_variables.append(variable)
        for optimizer, group in zip(self._inner_optimizers, self._by_optimizer(new)):
            if group:
                optimizer.extend(group) if optimizer.built else optimizer.build(group)

    def _build_outside_trace(self, variables: Sequence[Variable]) -> None:
        # No scope of its own: the slots belong to the inner optimizers, and are named by them alone.
        with _engine.suspend_trace():
            self.build(variables)

    def _by_optimizer(self, variables: Sequence[Variable]) -> list[list[Variable]]:
        groups: list[list[Variable]] = [[] for _ in self._inner_optimizers]
        for variable in variables:
            groups[self._var_to_optimizer_idx[self._var_key(variable)]].append(variable)
        return groups

    @property
    def optimizers(self) -> list[Optimizer]:
        """The inner optimizers."""
        return self._inner_optimizers

    @property
    def variables(self) -> list[Variable]:
        return [*self._variables, *(v for optimizer in self._inner_optimizers for v in optimizer.variables)]

    @property
    def learning_rate(self) -> Any:
        raise AttributeError(
            "Learning rate cannot be accessed on a MultiOptimizer. Access the learning rate on the "
            "individual "
            "sub-optimizers instead."
        )

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise AttributeError(
            "Learning rate cannot be set on a MultiOptimizer. Set the learning rate on the individual "
            "sub-optimizers "
            "instead."
        )

    @property
    def loss_scale_factor(self) -> float | None:
        return self.__dict__.get("_loss_scale_factor")

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for optimizer in self.__dict__.get("_inner_optimizers", ()):
            optimizer.loss_scale_factor = value

    @property
    def iterations(self) -> Any:
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        gradients = {self._var_key(v): g for g, v in zip(grads, variables)}
        for optimizer, group in zip(self._inner_optimizers, self._by_optimizer(variables)):
            if group:
                optimizer.apply([gradients[self._var_key(v)] for v in group], group)
        self._iterations.assign_add(1)
        self._run_pending()

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        for optimizer, group in zip(self._inner_optimizers, self._by_optimizer(var_list)):
            if group:
                optimizer.finalize_variable_values(group)

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving import serialize_keras_object

        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> MultiOptimizer:
        from fastkeras.saving import deserialize_keras_object

        chosen = deserialize_keras_object(config["optimizer_map"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer_map": chosen})
