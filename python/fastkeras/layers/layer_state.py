"""`LayerState`: what a layer holds (variables, sublayers, metrics, losses) and how it is set and saved."""

from __future__ import annotations

import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from fastkeras.core import dtype_policies, tree
from fastkeras.core.call_spec import call_info, is_tensor
from fastkeras.core.dtypes import is_float_dtype
from fastkeras.core.global_state import state
from fastkeras.core.operation import Operation, default
from fastkeras.core.tracking import Tracker, clock
from fastkeras.core.variable import Variable

# Values that tracking never needs to look at.
_PLAIN_TYPES = frozenset((int, float, str, bool, type(None), bytes, complex))
# Containers that belong to this class and are not tracked.
_INTERNAL = frozenset(("_inbound_nodes", "_outbound_nodes", "_losses", "_loss_ids", "_build_shapes_dict"))
# Layers whose `add_loss()` left something, so that a call clears only when there is something to clear.
_with_losses: weakref.WeakSet[LayerState] = weakref.WeakSet()
_LOCKED = (
    "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All "
    "state must be created in the `__init__()` method or in the `build()` method."
)


def _is_metric(x: Any) -> bool:
    # No metric can exist before its module is loaded, and layers alone need not load it.
    module = sys.modules.get("fastkeras.metrics.metric")
    return module is not None and isinstance(x, module.Metric)


def _is_seed_generator(x: Any) -> bool:
    module = sys.modules.get("fastkeras.random.seed_generator")
    return module is not None and isinstance(x, module.SeedGenerator)


class LayerState(Operation):
    """The half of `Layer` that does not compute: tracking, types, variables, losses, saving."""

    # Tracking.

    @property
    def _call_has_training_arg(self) -> bool:
        return self._call_info.has_training

    @property
    def _call_has_mask_arg(self) -> bool:
        return "mask" in self._call_info.names

    def _initialize_tracker(self) -> None:
        """Makes the tracker, with empty stores or those a copy of the layer came with."""
        d = self.__dict__
        stores: dict[str, list[Any]] = {
            name: d.setdefault(f"_{name}", [])
            for name in (
                "trainable_variables",
                "non_trainable_variables",
                "metrics",
                "layers",
                "seed_generators",
            )
        }
        tracker = d["_tracker"] = Tracker(
            {
                "trainable_variables": (
                    lambda x: isinstance(x, Variable) and x._trainable, stores["trainable_variables"],
                ),
                "non_trainable_variables": (
                    lambda x: isinstance(x, Variable) and not x._trainable, stores["non_trainable_variables"],
                ),
                "metrics": (_is_metric, stores["metrics"]),
                "layers": (lambda x: isinstance(x, LayerState), stores["layers"]),
                "seed_generators": (_is_seed_generator, stores["seed_generators"]),
            },
            exclusions={"non_trainable_variables": ["trainable_variables"]},
        )  # fmt: skip
        for name, store in stores.items():
            tracker.stored_ids[name] = {id(x) for x in store}

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or pickle takes along: not the graph the layer was used in."""
        state = dict(self.__dict__)
        for name in ("_tracker", "_call_info", "_fast_inputs", "_direct_kinds", "_changed_at"):
            state.pop(name, None)
        state.update(_inbound_nodes=[], _outbound_nodes=[], _losses=[], _loss_ids=set())
        state["_locked"] = self._tracker is not None and self._tracker.locked
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        d = self.__dict__
        locked = state.pop("_locked", False)
        d.update(state, _call_info=call_info(type(self)), _fast_inputs=None, _tracker=None)
        self._initialize_tracker()
        stores = {id(store) for _, store in self._tracker.config.values()}
        for name, value in state.items():
            if (
                type(value) in (list, dict, set, OrderedDict)
                and id(value) not in stores
                and name not in _INTERNAL
            ):
                d[name] = self._tracker.track(value)
        if locked:
            self._lock_state()

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) not in _PLAIN_TYPES:
            name, value = self._setattr_hook(name, value)
            if self._tracker is None:
                self._initialize_tracker()
            value = self._tracker.track(value)
        object.__setattr__(self, name, value)
        self._note_change()

    def _note_change(self) -> None:
        """Tells those who keep what calls of this layer recorded; see `clock`."""
        clock.now += 1
        self.__dict__["_changed_at"] = clock.now

    def _setattr_hook(self, name: str, value: Any) -> tuple[str, Any]:
        return name, value

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        if self._tracker is not None and type(value) not in _PLAIN_TYPES:
            self._tracker.untrack(value)
            if isinstance(value, (list, tuple, dict)):
                for v in tree.flatten(value):
                    self._tracker.untrack(v)
        object.__delattr__(self, name)
        self._note_change()

    def _check_super_called(self) -> None:
        if "_losses" not in self.__dict__:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first "
                "statement in the `__init__()` method. Go add it!"
            )

    def _track_variable(self, variable: Variable) -> None:
        store = "trainable_variables" if variable.trainable else "non_trainable_variables"
        self._tracker.add_to_store(store, variable)
        if not self._trainable:
            variable.trainable = False
        self._post_track_variable(variable)

    def _untrack_variable(self, variable: Variable) -> None:
        self._tracker.unlock()
        self._tracker.untrack(variable)
        self._tracker.lock()
        self._post_untrack_variable(variable)

    def _post_track_variable(self, variable: Variable) -> None:
        """Hook for subclasses."""

    def _post_untrack_variable(self, variable: Variable) -> None:
        """Hook for subclasses."""

    def _lock_state(self) -> None:
        if not self._tracker.locked:
            self._tracker.lock(_LOCKED)

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> Iterator[LayerState]:
        """This layer (if asked) and those inside it, each once, parents first."""
        seen: set[int] = set()
        stack = [self] if include_self else list(self._layers)
        stack.reverse()
        while stack:
            layer = stack.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            if recursive or layer is self:
                stack.extend(reversed(layer._layers))

    # Description.

    @property
    def path(self) -> str | None:
        """The names of the layers around this one and its own, joined by "/"; None before it is built."""
        return self._path

    @property
    def input_spec(self) -> Any:
        """An InputSpec, or structure of them, that inputs are checked against; None: no check."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self.__dict__["_fast_inputs"] = None
        self.__dict__["_input_spec"] = value

    @property
    def supports_masking(self) -> bool:
        """Whether the layer passes masks on (by `compute_mask`)."""
        return self._supports_masking

    @supports_masking.setter
    def supports_masking(self, value: bool) -> None:
        self.__dict__["_supports_masking"] = value

    @property
    def dtype(self) -> str:
        """Alias of `variable_dtype`."""
        return self.variable_dtype

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """The DTypePolicy of the layer."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._set_policy(dtype_policies.get(value))

    def _set_policy(self, policy: dtype_policies.DTypePolicy) -> None:
        d = self.__dict__
        d["_dtype_policy"] = policy
        if isinstance(policy, dtype_policies.DTypePolicyMap):
            policy = policy[self._path or self.name]
        d["_compute_dtype"] = policy.compute_dtype
        d["_variable_dtype"] = policy.variable_dtype
        d["_mixed"] = policy.compute_dtype != policy.variable_dtype
        d["_fast_inputs"] = None

    @property
    def compute_dtype(self) -> str:
        """The type that `call()` computes in; floating-point inputs are cast to it."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The type that variables are stored in."""
        return self._variable_dtype

    @property
    def input_dtype(self) -> str:
        """The type that floating-point inputs are converted to."""
        return self._compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        """Always None: fastkeras does not quantize."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    __str__ = __repr__

    # Variables.

    def add_weight(
        self,
        *args: Any,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Makes a variable of this layer.

        Args:
            shape: tuple of integers; default `()`.
            initializer: callable or name; default `"glorot_uniform"` for floating types, else `"zeros"`.
            dtype: type name; default the layer's variable type.
            trainable: whether optimizers update it.
            autocast: whether it reads as the compute type inside `call()`.
            regularizer: callable or name, giving a penalty from the value.
            constraint: callable or name, applied to the value after each update.
            aggregation: how replicas' values are combined: "none", "mean", "sum", "only_first_replica".
            overwrite_with_gradient: whether optimizers replace the value by the gradient.
            name: the variable's name.

        Raises:
            ValueError: if the layer is built already, or the shape has unknown dimensions.
        """
        self._check_super_called()
        if args:
            if len(args) > 2:
                raise TypeError(
                    f"add_weight() takes at most 2 positional arguments: shape, initializer. Received: {args}"
                )
            shape = args[0]
            if len(args) == 2:
                initializer = args[1]
        from fastkeras import initializers

        if shape is None:
            shape = ()
        dtype = self._variable_dtype if dtype is None else dtype
        if initializer is None:
            initializer = "glorot_uniform" if is_float_dtype(dtype) else "zeros"
        with self._open_name_scope():
            variable = Variable(
                initializer=initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        if regularizer is not None:
            from fastkeras import regularizers

            variable.regularizer = regularizers.get(regularizer)
        if constraint is not None:
            from fastkeras import constraints

            variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._track_variable(variable)
        return variable

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Makes a variable of this layer: see `add_weight()`."""
        return self.add_weight(
            shape=shape, initializer=initializer, dtype=dtype, trainable=trainable, autocast=autocast,
            regularizer=regularizer, constraint=constraint, name=name,
        )  # fmt: skip

    @property
    def trainable(self) -> bool:
        """Whether optimizers update the variables of this layer and those inside it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self.__dict__["_trainable"] = value
        for v in self._trainable_variables:
            v.trainable = value
        for layer in self._layers:
            layer.trainable = value

    @property
    def variables(self) -> list[Variable]:
        """All variables, those of seed generators included (not those of metrics), each once."""
        found: list[Variable] = []
        seen: set[int] = set()

        def add(v: Variable) -> None:
            if id(v) not in seen:
                seen.add(id(v))
                found.append(v)

        for v in self._trainable_variables:
            add(v)
        for v in self._non_trainable_variables:
            add(v)
        for seed in self._seed_generators:
            add(seed.state)
        for layer in self._layers:
            for v in layer.variables:
                add(v)
        return found

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that optimizers update; empty if the layer is not trainable."""
        return [v for v in self.variables if v._trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that optimizers leave alone."""
        return [v for v in self.variables if not v._trainable] if self.trainable else self.variables

    @property
    def weights(self) -> list[Variable]:
        """The variables made by this layer and those inside it; seed generators are not among them."""
        found: list[Variable] = []
        seen: set[int] = set()
        for v in [*self._trainable_variables, *self._non_trainable_variables]:
            if id(v) not in seen:
                seen.add(id(v))
                found.append(v)
        for layer in self._layers:
            for v in layer.weights:
                if id(v) not in seen:
                    seen.add(id(v))
                    found.append(v)
        return found

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that optimizers update; empty if the layer is not trainable."""
        return [v for v in self.weights if v._trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that optimizers leave alone."""
        return [v for v in self.weights if not v._trainable] if self.trainable else self.weights

    @property
    def metrics(self) -> list[Any]:
        """The metrics of this layer and those inside it."""
        found = list(self._metrics)
        for layer in self._layers:
            found.extend(layer.metrics)
        return found

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of the metrics."""
        return [v for metric in self.metrics for v in metric.variables]

    def get_weights(self) -> list[Any]:
        """Returns the values of `weights` as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: list[Any]) -> None:
        """Sets the values of `weights` from a list of arrays in the same order.

        Raises:
            ValueError: if their number or a shape differs.
        """
        mine = self.weights
        if len(mine) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, but the layer was expecting {len(mine)} weights."
            )
        for variable, value in zip(mine, weights):
            if tuple(variable.shape) != tuple(getattr(value, "shape", ())):
                raise ValueError(
                    f"Layer {self.name} weight shape {tuple(variable.shape)} is not compatible with provided "
                    f"weight shape {tuple(getattr(value, 'shape', ()))}."
                )
        for variable, value in zip(mine, weights):
            variable.assign(value)

    def count_params(self) -> int:
        """Returns the number of scalars in the weights.

        Raises:
            ValueError: if the layer is not built, so that the number is not known.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You "
                "can build it manually via: `layer.build(input_shape)`."
            )
        return sum(v.size for v in self.weights)

    # Losses.

    def add_loss(self, loss: Any) -> None:
        """Adds one scalar tensor, or a list of them, to the losses; called from `build()` or `call()`.

        Raises:
            ValueError: if something else is passed.
        """
        losses = tree.flatten(loss)
        for x in losses:
            if not is_tensor(x):
                raise ValueError(
                    "`add_loss()` can only be called from inside `build()` or `call()`, on a tensor input. "
                    f"Received invalid value: {x}"
                )
        scope = state.stateless
        if scope is not None and scope.collect_losses:
            for x in losses:
                scope.add_loss(x)
                self._loss_ids.add(id(x))
            return
        self._losses.extend(losses)
        _with_losses.add(self)

    def _get_own_losses(self) -> list[Any]:
        scope = state.stateless
        if scope is not None and scope.collect_losses:
            return [x for x in scope.losses if id(x) in self._loss_ids]
        return list(self._losses)

    def _get_regularization_losses(self) -> list[Any]:
        return [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    @property
    def losses(self) -> list[Any]:
        """The values given to `add_loss()` in the last call, here and inside, and the weight penalties."""
        found = self._get_own_losses()
        for layer in self._flatten_layers(include_self=False):
            found.extend(layer._get_own_losses())
        found.extend(self._get_regularization_losses())
        return found

    def _clear_losses(self) -> None:
        for layer in self._flatten_layers():
            if layer._losses:
                layer.__dict__["_losses"] = []
            layer._loss_ids.clear()
            _with_losses.discard(layer)

    def add_metric(self, *args: Any, **kwargs: Any) -> None:
        """Not available, as in Keras 3: assign a metric to an attribute and update it in `call()`."""
        raise NotImplementedError(
            "Layer `add_metric()` is deprecated. Add your metric in `Model.compile(metrics=[...])`, or "
            "assign it to an attribute of the layer and call its `update_state()` in `call()`."
        )

    # Saving.

    def save_own_variables(self, store: Any) -> None:
        """Writes this layer's own variables (not those of sublayers) to a dictionary-like store."""
        for i, v in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[f"{i}"] = v

    def load_own_variables(self, store: Any) -> None:
        """Reads this layer's own variables from a store written by `save_own_variables()`.

        Raises:
            ValueError: if their number differs.
        """
        mine = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) != len(mine):
            if not mine and not self.built:
                raise ValueError(
                    f"Layer '{self.name}' was never built and thus it doesn't have any variables. However "
                    f"the weights file lists {len(store.keys())} variables for this layer.\nIn most cases, "
                    "this error indicates that either:\n\n1. The layer is owned by a parent layer that "
                    "implements a `build()` method, but calling the parent's `build()` method did NOT create "
                    f"the state of the child layer '{self.name}'. A `build()` method must create ALL state "
                    "for the layer, including the state of any children layers.\n\n2. You need to implement "
                    f"the `def build_from_config(self, config)` method on layer '{self.name}', to specify "
                    "how to rebuild it during loading. In this case, you might also want to implement the "
                    "method that generates the build config at saving time, `def get_build_config(self)`."
                )
            raise ValueError(
                f"Layer '{self.name}' expected {len(mine)} variables, but received {len(store.keys())} "
                f"variables during loading. Expected: {[v.name for v in mine]}"
            )
        for i, v in enumerate(mine):
            v.assign(store[f"{i}"])

    @default
    def get_config(self) -> dict[str, Any]:
        """Returns a serializable dictionary from which `from_config()` makes a layer like this one (without
        weights).

        A layer with `__init__()` arguments that are not numbers, strings, booleans or lists of them overrides
        it.
        """
        self._check_super_called()
        base = super().get_config()
        config: dict[str, Any] = {
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self._dtype_policy),
        }
        if self.activity_regularizer is not None:
            from fastkeras import regularizers

            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return {**base, **config}
