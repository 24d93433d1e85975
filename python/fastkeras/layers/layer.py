"""`Layer`: state (variables, sublayers) plus a `call()`; everything else about layers is built on this class.

The life of a layer: `__init__()` stores options, `build()` makes the variables when the input shape is known (the first
call, or a call on a KerasTensor), `call()` computes. `__call__()` is what ties these together; for a built layer
called on one tensor it takes a short path that does little more than `self.call(x)`.
"""

from __future__ import annotations

import inspect
import sys
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import dtype_policies, tree
from fastkeras.core.call_spec import CallInfo, CallSpec, call_info, fit_shapes, is_tensor
from fastkeras.core.dtypes import is_float_dtype
from fastkeras.core.global_state import state
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.masking import get_keras_mask, in_use, set_keras_mask
from fastkeras.core.naming import current_path, name_scope
from fastkeras.core.node import Node
from fastkeras.core.operation import Operation, default, is_default
from fastkeras.core.scopes import AutocastScope, CallContext, StatelessScope
from fastkeras.core.tracking import DotNotTrackScope, Tracker
from fastkeras.core.variable import Variable
from fastkeras.layers.input_spec import assert_input_compatibility

_Tensor = _engine.Tensor
_push_label = _engine.push_label
_pop_label = _engine.pop_label

_ARRAYS = frozenset((_Tensor, np.ndarray))
# Values that tracking never needs to look at.
_PLAIN_TYPES = frozenset((int, float, str, bool, type(None), bytes, complex))
# Containers that belong to this class and are not tracked.
_INTERNAL = frozenset(("_inbound_nodes", "_outbound_nodes", "_losses", "_loss_ids", "_build_shapes_dict"))
# Layers whose `add_loss()` left something, so that a call clears only when there is something to clear.
_with_losses: weakref.WeakSet[Layer] = weakref.WeakSet()
_LOCKED = (
    "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All state must be "
    "created in the `__init__()` method or in the `build()` method."
)


def _is_metric(x: Any) -> bool:
    # No metric can exist before its module is loaded, and layers alone need not load it.
    module = sys.modules.get("fastkeras.metrics.metric")
    return module is not None and isinstance(x, module.Metric)


def _is_seed_generator(x: Any) -> bool:
    module = sys.modules.get("fastkeras.random.seed_generator")
    return module is not None and isinstance(x, module.SeedGenerator)


class Layer(Operation):
    """Base class of layers.

    Subclasses implement `call(self, *args, training=None, mask=None)` on tensors (both options only if used), and, if they
    have state, `build(self, input_shape)`, which calls `self.add_weight()` or makes sublayers. Variables, layers,
    metrics and seed generators assigned to attributes (also inside lists and dictionaries) are found by themselves.

    Args:
        activity_regularizer: callable (or name) giving a penalty from the output.
        trainable: whether optimizers update the layer's variables.
        dtype: a type name, policy name or DTypePolicy; default the global policy.
        autocast: whether floating-point inputs and variables are cast to the compute type.
        name: default made from the class name.

    Example:
        class Scale(fastkeras.layers.Layer):
            def build(self, input_shape):
                self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

            def call(self, x):
                return x * self.w
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _wrap_build(cls.__dict__["build"])  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        instance = Operation.__new__(cls, *args, **kwargs)
        # Set before any __init__ runs, so that a subclass that assigns attributes first, or forgets
        # super().__init__(), fails with a clear message and not inside __setattr__.
        instance.__dict__["_tracker"] = None
        instance.__dict__["built"] = False
        instance.__dict__["_fast_inputs"] = None
        return instance

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        d = self.__dict__
        Operation.__init__(self, name=name)
        if activity_regularizer is not None:
            from fastkeras import regularizers

            activity_regularizer = regularizers.get(activity_regularizer)
        d["activity_regularizer"] = activity_regularizer
        input_shape = _pop_input_shape(kwargs)
        if input_shape is not None:
            warnings.warn(
                "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, prefer "
                "using an `Input(shape)` object as the first layer in the model instead.",
                stacklevel=2,
            )
            d["_input_shape_arg"] = input_shape
        if kwargs:
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}. A layer takes `name`, "
                "`dtype`, `trainable`, `autocast` and `activity_regularizer` beside its own arguments."
            )
        d["autocast"] = autocast
        d["_input_spec"] = None
        d["_path"] = None
        d["_parent_path"] = None
        d["_build_shapes_dict"] = None
        d["_trainable"] = bool(trainable)
        d["_convert_input_args"] = True
        d["_allow_non_tensor_positional_args"] = False
        d["_call_info"] = call_info(type(self))
        d["_supports_masking"] = not is_default(type(self).compute_mask)
        d["_losses"] = []
        d["_loss_ids"] = set()
        self._set_policy(dtype_policies.get(dtype))
        if self._tracker is None:
            self._initialize_tracker()

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
            for name in ("trainable_variables", "non_trainable_variables", "metrics", "layers", "seed_generators")
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
                "layers": (lambda x: isinstance(x, Layer), stores["layers"]),
                "seed_generators": (_is_seed_generator, stores["seed_generators"]),
            },
            exclusions={"non_trainable_variables": ["trainable_variables"]},
        )  # fmt: skip
        for name, store in stores.items():
            tracker.stored_ids[name] = {id(x) for x in store}

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or pickle takes along: not the graph the layer was used in."""
        state = dict(self.__dict__)
        for name in ("_tracker", "_call_info", "_fast_inputs"):
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
            if type(value) in (list, dict, set, OrderedDict) and id(value) not in stores and name not in _INTERNAL:
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

    def _check_super_called(self) -> None:
        if "_losses" not in self.__dict__:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in "
                "the `__init__()` method. Go add it!"
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

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> Iterator[Layer]:
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
                raise TypeError(f"add_weight() takes at most 2 positional arguments: shape, initializer. Received: {args}")
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
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length {len(weights)}, "
                f"but the layer was expecting {len(mine)} weights."
            )
        for variable, value in zip(mine, weights):
            if tuple(variable.shape) != tuple(getattr(value, "shape", ())):
                raise ValueError(
                    f"Layer {self.name} weight shape {tuple(variable.shape)} is not compatible with provided weight "
                    f"shape {tuple(getattr(value, 'shape', ()))}."
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
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it "
                "manually via: `layer.build(input_shape)`."
            )
        return sum(v.size for v in self.weights)

    # Building.

    @default
    def build(self, input_shape: Any) -> None:
        """Makes the variables for inputs of this shape; overridden by layers with state."""
        self._check_super_called()
        if self._might_have_unbuilt_state():
            warnings.warn(
                f"`build()` was called on layer '{self.name}', however the layer does not have a `build()` method "
                "implemented and it looks like it has unbuilt state. This will cause the layer to be marked as built, "
                "despite not being actually built, which may cause failures down the line. Make sure to implement a "
                "proper `build()` method.",
                stacklevel=3,
            )
        self.built = True

    def _build_at_init(self) -> None:
        """For layers whose state does not depend on the input: called at the end of `__init__()`."""
        if is_default(type(self).build):
            self.built = True
            self._post_build()
            self._lock_state()

    def _post_build(self) -> None:
        """Hook for subclasses, run after `build()`."""

    def _might_have_unbuilt_state(self) -> bool:
        return any(not layer.built for layer in self._layers)

    def _open_name_scope(self) -> name_scope:
        if self._parent_path is None:
            self.__dict__["_parent_path"] = current_path()
        return name_scope(self.name, caller=self)

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns what `build_from_config()` needs: the input shapes the layer was built with, or None."""
        shapes = self._build_shapes_dict
        if shapes is None:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": shapes}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Builds the layer from `get_build_config()`'s result."""
        if not config:
            return
        if "input_shape" in config:
            self.build(config["input_shape"])
        elif "shapes_dict" in config:
            self.build(**config["shapes_dict"])

    def _maybe_build(self, spec: CallSpec) -> None:
        if self.built:
            return
        shapes = spec.shapes()
        if not is_default(type(self).build):
            self.build(**fit_shapes(self.build, shapes, type(self).__name__))
            self.built = True
            return
        if self._might_have_unbuilt_state() and not spec.eager and not is_default(type(self).compute_output_shape):
            # Shapes will come from compute_output_shape(), so only this makes the sublayers' variables.
            from fastkeras.core.symbolic import compute_output_spec

            with state_scope(self):
                compute_output_spec(self.call, **spec.given)
        # Nothing to build but what call() builds: the layers inside.
        with self._open_name_scope():
            self.__dict__["_path"] = current_path()
        self._note_built({"input_shape": next(iter(shapes.values()), None)})

    def _note_built(self, shapes: dict[str, Any]) -> None:
        d = self.__dict__
        d["_build_shapes_dict"] = shapes
        d["built"] = True
        d["_fast_inputs"] = None
        self._post_build()
        self._lock_state()

    # Calling.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs:
            fast = self._fast_inputs
            if fast is not None and state.autocast is None:
                x = args[0]
                if type(x) is _Tensor:
                    if (x.shape, x.dtype) in fast and not (in_use.any and get_keras_mask(x) is not None):
                        return self._call_fast(x)
                elif type(x) is np.ndarray:
                    x = _engine.tensor(x)
                    if (x.shape, x.dtype) in fast:
                        return self._call_fast(x)
        return self._call_general(args, kwargs)

    def _call_fast(self, x: Any) -> Any:
        """Calls a built layer on one tensor that needs no conversion or check (see `_remember_fast`)."""
        s = state
        context = s.call
        if context is None:
            s.call = CallContext(self)
            if _with_losses:
                self._clear_losses()
        scopes = s.scopes
        scopes.append(self)
        _push_label(self.name)
        try:
            if context is None or context.training is None or not self._call_info.has_training:
                return self.call(x)
            return self.call(x, training=context.training)
        except Exception as e:
            raise self._explain(e, (x,), {}) from None
        finally:
            _pop_label()
            scopes.pop()
            if context is None:
                s.call = None

    def _remember_fast(self, x: Any, given: Any) -> None:
        """Notes that inputs like `given` (which became `x`), whose call just succeeded, may take the fast path."""
        if (
            self._mixed
            or not self.built
            or not self._call_info.simple
            or self.activity_regularizer is not None
            or self._supports_masking and not is_default(type(self).compute_mask)
            or not self._fast_call_allowed
        ):
            return
        dtype = given.dtype if type(given) is _Tensor else given.dtype.name
        if self._convert_input_args and x.dtype != dtype:
            # It had to be cast.
            return
        fast = self._fast_inputs
        if fast is None or len(fast) >= 32:
            fast = self.__dict__["_fast_inputs"] = set()
        fast.add((given.shape, dtype))

    # Subclasses whose __call__ does more set this to False.
    _fast_call_allowed = True

    def _call_general(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._check_super_called()
        original, original_options = args, kwargs
        # 1. Arrays become tensors; floating-point ones take the compute type.
        if self._convert_input_args:
            args = tuple(self._convert(a) for a in args)
            if kwargs:
                kwargs = {k: self._convert(v) for k, v in kwargs.items()}
        if not self._allow_non_tensor_positional_args:
            for a in args:
                if is_tensor(a) or a is None:
                    continue
                for leaf in tree.flatten(a) if tree.is_nested(a) else (a,):
                    if leaf is not None and not is_tensor(leaf):
                        raise ValueError(
                            "Only input tensors may be passed as positional arguments. The following argument value "
                            f"should be passed as a keyword argument: {leaf} (of type {type(leaf)})"
                        )
        # 2. Which argument is what. `training` may be passed to any layer: one whose call() does not take it hands
        # it on to the layers inside.
        passed_on = None
        if "training" in kwargs and not self._call_info.has_training and self._call_info.var_keyword is None:
            kwargs = dict(kwargs)
            passed_on = kwargs.pop("training")
        try:
            spec = CallSpec(self._call_info, args, kwargs)
        except TypeError as e:
            raise TypeError(f"{type(self).__name__}.{e}") from None
        # 3. Training mode: what was passed, else that of the layer around, else call()'s default.
        outer = state.call
        training = spec.given.get("training", passed_on)
        explicit_training = training is not None
        if training is None:
            if outer is not None:
                training = outer.training
            if training is None:
                training = self._call_info.defaults.get("training")
        if training is not None and self._call_info.has_training and "training" not in self._call_info.positional[: len(args)]:
            kwargs = {**kwargs, "training": training}
        # 4. Masks that came with the tensors.
        for argument, parameter in self._call_info.mask_parameters(spec):
            if spec.given.get(parameter) is None:
                mask = _masks_of(spec.tensors[argument])
                if mask is not None:
                    kwargs = {**kwargs, parameter: mask}
        # 5. Build, check, run.
        state.call = context = CallContext(self if outer is None else outer.entry_layer, training)
        if outer is None and _with_losses:
            self._clear_losses()
        state.scopes.append(self)
        _push_label(self.name)
        try:
            scope = self._autocast_scope()
            if not self.built:
                # Variables are made in the type they are stored in, but sublayers may be called: same scope as call().
                with _nothing if scope is None else scope:
                    self._maybe_build(spec)
            if self._input_spec is not None or self._input_spec_is_overridden:
                if spec.first is not None:
                    assert_input_compatibility(self.input_spec, spec.first, self.name)
            if spec.eager:
                if scope is None:
                    outputs = self.call(*args, **kwargs)
                else:
                    with scope:
                        outputs = self.call(*args, **kwargs)
            else:
                with _nothing if scope is None else scope:
                    outputs = self._symbolic_call(
                        args, kwargs, explicit_training, original, self._recorded(spec, original_options, kwargs)
                    )
            # 6. Penalty on the output, and its mask.
            if self.activity_regularizer is not None:
                for output in tree.flatten(outputs):
                    if type(output) is _Tensor:
                        penalty = self.activity_regularizer(output)
                        if output.ndim > 0:
                            # Per sample, so that its weight does not depend on the batch size.
                            penalty = penalty / max(output.shape[0], 1)
                        self.add_loss(penalty)
            self._pass_masks_on(spec, outputs)
        except Exception as e:
            raise self._explain(e, args, kwargs) from None
        finally:
            _pop_label()
            state.scopes.pop()
            state.call = outer
            del context
        if spec.eager and len(args) == 1 and type(original[0]) in _ARRAYS and not spec.info.var_positional:
            self._remember_fast(args[0], original[0])
        return outputs

    # Whether a subclass computes `input_spec` instead of storing it.
    _input_spec_is_overridden = False

    def _convert(self, x: Any) -> Any:
        kind = type(x)
        if kind in _PLAIN_TYPES:
            return x
        policy = self._dtype_policy
        if kind is _Tensor or isinstance(x, (KerasTensor, _engine.Cell)):
            return policy.convert_input(x, self.autocast, self._compute_dtype)
        if tree.is_nested(x):
            return tree.map_structure(lambda y: policy.convert_input(y, self.autocast, self._compute_dtype), x)
        return policy.convert_input(x, self.autocast, self._compute_dtype)

    def _autocast_scope(self) -> AutocastScope | None:
        """The scope to enter for `call()`, or None if the one in force is right."""
        current = state.autocast
        if current is None:
            return AutocastScope(self._compute_dtype) if self._mixed and self.autocast else None
        if not self.autocast or not is_float_dtype(self._compute_dtype):
            return AutocastScope(None)
        return AutocastScope(self._compute_dtype) if current.dtype != self._compute_dtype else None

    def _symbolic_call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        explicit_training: bool,
        recorded_args: tuple[Any, ...],
        recorded_kwargs: dict[str, Any],
    ) -> Any:
        outputs = self.compute_output_spec(*args, **kwargs)
        if _with_losses:
            # Losses of the trial run have no values.
            self._clear_losses()
        node = Node(self, recorded_args, recorded_kwargs, outputs)
        node.explicit_training = explicit_training
        return node.outputs

    def _recorded(self, spec: CallSpec, given: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments to note in the graph, which are those Keras notes.

        What was filled in (the training mode, the mask or its absence) is noted for a call on one tensor alone. In
        other calls it is found again when the model runs.
        """
        if given or len(spec.given) != 1 or not isinstance(spec.first, KerasTensor):
            return given
        recorded = {k: kwargs[k] for k in ("training",) if k in kwargs}
        for _, parameter in self._call_info.mask_parameters(spec):
            recorded[parameter] = kwargs.get(parameter)
        return recorded

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Infers the outputs of a call on KerasTensors and records the call as a node."""
        return self._symbolic_call(args, kwargs, "training" in kwargs, args, kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs from the inputs; every layer defines it."""
        self._check_super_called()
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    @default
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the shape of the outputs for inputs of the given shape(s), unknown sizes being None.

        By default found by tracing `call()`.
        """
        if not self.built and not is_default(type(self).build):
            # call() needs its variables.
            self.build(*args, **kwargs)
        inputs = tuple(self._spec_from_shapes(a) for a in args)
        options = {k.removesuffix("_shape"): self._spec_from_shapes(v) for k, v in kwargs.items()}
        if set(options) == {"input"}:
            inputs, options = (options["input"],), {}
        specs = Layer.compute_output_spec(self, *inputs, **options)
        return tree.map_structure(lambda t: t.shape, specs)

    def _spec_from_shapes(self, shapes: Any) -> Any:
        return tree.map_shape_structure(lambda s: KerasTensor(s, dtype=self._compute_dtype), shapes)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns KerasTensors like the outputs of `call()` for these arguments.

        They come from `compute_output_shape()` if the layer defines it (with the compute type), else from tracing
        `call()`.
        """
        if is_default(type(self).compute_output_shape):
            return Operation.compute_output_spec(self, *args, **kwargs)
        spec = CallSpec(self._call_info, args, kwargs)
        shapes = fit_shapes(self.compute_output_shape, spec.shapes(), type(self).__name__)
        output_shape = self.compute_output_shape(**shapes)
        if isinstance(output_shape, (list, tuple)) and tree.is_shape_tuple(output_shape):
            return KerasTensor(tuple(output_shape), dtype=self._compute_dtype)
        if not isinstance(output_shape, (list, tuple, dict)):
            raise ValueError(
                f"Method `compute_output_shape()` of layer {type(self).__name__} is returning a type that cannot be "
                f"interpreted as a shape. It should return a shape tuple. Received: {output_shape}"
            )
        return tree.map_shape_structure(lambda s: KerasTensor(tuple(s), dtype=self._compute_dtype), output_shape)

    # Masks.

    @default
    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Returns the mask of the outputs, by default that of the inputs."""
        return previous_mask

    def _pass_masks_on(self, spec: CallSpec, outputs: Any) -> None:
        first = spec.first
        previous = _masks_of(first) if first is not None else None
        if self._supports_masking:
            if previous is None and is_default(type(self).compute_mask):
                return
            flat_outputs = tree.flatten(outputs)
            if all(get_keras_mask(x) is not None for x in flat_outputs):
                return
            masks = self.compute_mask(first, previous)
            if masks is None:
                return
            for x, mask in zip(flat_outputs, tree.flatten(masks)):
                if mask is not None and is_tensor(x) and get_keras_mask(x) is None:
                    set_keras_mask(x, mask)
        elif previous is not None and any(m is not None for m in tree.flatten(previous)):
            if not self._call_info.masks and not self._call_info.has_mask:
                warnings.warn(
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask attached to "
                    "it. However, this layer does not support masking and will therefore destroy the mask information. "
                    "Downstream layers will not see the mask.",
                    stacklevel=3,
                )

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
                    "`add_loss()` can only be called from inside `build()` or `call()`, on a tensor input. Received "
                    f"invalid value: {x}"
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
        return [
            v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None
        ]

    @property
    def losses(self) -> list[Any]:
        """The values given to `add_loss()` in the last call, here and in the layers inside, and weight penalties."""
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
            "Layer `add_metric()` is deprecated. Add your metric in `Model.compile(metrics=[...])`, or assign it to an "
            "attribute of the layer and call its `update_state()` in `call()`."
        )

    # Functional form.

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Calls the layer with given values for its variables and without changing it.

        Args:
            trainable_variables: values in the order of `layer.trainable_variables`.
            non_trainable_variables: values in the order of `layer.non_trainable_variables`.
            *args: inputs.
            return_losses: whether to return the list of losses as well.
            **kwargs: options of the call.

        Returns:
            `(outputs, non_trainable_variables)` or `(outputs, non_trainable_variables, losses)`, where the variables
            are the values after the call.

        Raises:
            ValueError: if the layer is not built, or the numbers of values do not fit.
        """
        self._check_super_called()
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables must have been already "
                "created). You can build it by calling it on some data."
            )
        pairs: list[tuple[Variable, Any]] = []
        for kind, mine, given in (
            ("trainable_variables", self.trainable_variables, list(trainable_variables)),
            ("non_trainable_variables", self.non_trainable_variables, list(non_trainable_variables)),
        ):
            if len(mine) != len(given):
                raise ValueError(
                    f"Argument `{kind}` must be a list of tensors corresponding 1:1 to {type(self).__name__}().{kind}. "
                    f"Received list with length {len(given)}, but expected {len(mine)} variables."
                )
            pairs.extend(zip(mine, given))
        with StatelessScope(pairs, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
        after = []
        for v in self.non_trainable_variables:
            value = scope.get_current_value(v)
            after.append(v.value if value is None else value)
        return (outputs, after, losses) if return_losses else (outputs, after)

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
                    f"Layer '{self.name}' was never built and thus it doesn't have any variables. However the weights "
                    f"file lists {len(store.keys())} variables for this layer.\nIn most cases, this error indicates that "
                    "either:\n\n1. The layer is owned by a parent layer that implements a `build()` method, but calling "
                    "the parent's `build()` method did NOT create the state of the child layer "
                    f"'{self.name}'. A `build()` method must create ALL state for the layer, including the state of any "
                    "children layers.\n\n2. You need to implement the `def build_from_config(self, config)` method on "
                    f"layer '{self.name}', to specify how to rebuild it during loading. In this case, you might also "
                    "want to implement the method that generates the build config at saving time, "
                    "`def get_build_config(self)`."
                )
            raise ValueError(
                f"Layer '{self.name}' expected {len(mine)} variables, but received {len(store.keys())} variables during "
                f"loading. Expected: {[v.name for v in mine]}"
            )
        for i, v in enumerate(mine):
            v.assign(store[f"{i}"])

    @default
    def get_config(self) -> dict[str, Any]:
        """Returns a serializable dictionary from which `from_config()` makes a layer like this one (without weights).

        A layer with `__init__()` arguments that are not numbers, strings, booleans or lists of them overrides it.
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

    # Not available.

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(f"Layer {type(self).__name__} cannot be quantized: quantization is not supported.")

    def quantized_build(self, input_shape: Any, mode: str) -> None:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(f"Layer {type(self).__name__} cannot be quantized: quantization is not supported.")

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(f"Layer {type(self).__name__} cannot be quantized: quantization is not supported.")

    def rematerialized_call(self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Returns `layer_call` as it is: what is kept between the passes is the compiler's decision."""
        return layer_call

    # Errors.

    def _explain(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BaseException:
        """The error with this layer and its arguments named, unless a layer inside has done so."""
        from fastkeras.core.traceback_utils import describe, with_context

        names = [*self._call_info.positional, *(f"args[{i}]" for i in range(len(args)))]
        lines = [f"  • {name}={describe(value)}" for name, value in zip(names, args)]
        lines += [f"  • {name}={describe(value)}" for name, value in kwargs.items()]
        cls = type(self).__name__
        return with_context(
            error,
            f"Exception encountered when calling layer '{self.name}' (of type {cls}).",
            f"Arguments received by {cls}.call():\n" + "\n".join(lines),
        )


class _Nothing:
    """A context manager that does nothing (contextlib's costs more to enter)."""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: Any) -> None: ...


_nothing = _Nothing()


class state_scope:  # noqa: N801 - used like a function
    """Keeps the thread's call state as it was, whatever happens inside."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __enter__(self) -> None:
        self.call = state.call
        self.depth = len(state.scopes)

    def __exit__(self, *exc: Any) -> None:
        state.call = self.call
        del state.scopes[self.depth :]


def _wrap_build(build: Callable[..., Any]) -> Callable[..., Any]:
    """Makes `build()` run once, in the layer's name scope, and record the shapes it was given."""
    if hasattr(build, "_wrapped_build"):
        return build
    signature = inspect.signature(build)

    @wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        d = self.__dict__
        if d.get("_building"):
            # super().build(...) from a subclass' build().
            build(self, *args, **kwargs)
            return
        d["_building"] = True
        try:
            with self._open_name_scope():
                d["_path"] = current_path()
                build(self, *args, **kwargs)
        finally:
            d["_building"] = False
        self._note_built(dict(list(signature.bind(self, *args, **kwargs).arguments.items())[1:]))

    wrapper._wrapped_build = build  # type: ignore[attr-defined]
    return wrapper


Layer.build = default(_wrap_build(Layer.build))  # type: ignore[method-assign]


def _pop_input_shape(kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """Takes the shape arguments of older versions (`input_shape`, `input_dim`, `batch_input_shape`) from kwargs."""
    if not kwargs:
        return None
    shape = kwargs.pop("input_shape", None)
    dim = kwargs.pop("input_dim", None)
    batch = kwargs.pop("batch_input_shape", None)
    if batch is not None:
        return tuple(batch[1:])
    if shape is not None:
        return tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    return (dim,) if dim is not None else None


def _masks_of(x: Any) -> Any:
    """The mask(s) of a tensor or structure of tensors; None if there is none."""
    if not isinstance(x, (list, tuple, dict)):
        return get_keras_mask(x) if is_tensor(x) else None
    masks = tree.map_structure(lambda t: get_keras_mask(t) if is_tensor(t) else None, x)
    return masks if any(m is not None for m in tree.flatten(masks)) else None


__all__ = ["DotNotTrackScope", "Layer", "CallInfo"]
