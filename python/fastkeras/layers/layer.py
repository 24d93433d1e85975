"""`Layer`: state (variables, sublayers) plus a `call()`; everything else about layers is built on this class.

The life of a layer: `__init__()` stores options, `build()` makes the variables when the input shape is known
(the first call, or a call on a KerasTensor), `call()` computes. `__call__()` is what ties these together; for
a built layer called on one tensor it takes a short path that does little more than `self.call(x)`.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import dtype_policies, tree
from fastkeras.core.call_spec import CallSpec, call_info, fit_shapes, is_tensor
from fastkeras.core.dtypes import is_float_dtype
from fastkeras.core.global_state import state
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.masking import get_keras_mask, in_use, set_keras_mask
from fastkeras.core.naming import current_path, name_scope
from fastkeras.core.node import Node
from fastkeras.core.operation import Operation, default, is_default
from fastkeras.core.remat import RematMode, get_current_remat_mode, remat
from fastkeras.core.scopes import (
    AutocastScope,
    CallContext,
    StatelessScope,
    set_autocast_scope,
    state_scope,
)
from fastkeras.core.variable import Variable
from fastkeras.layers.input_spec import assert_input_compatibility
from fastkeras.layers.layer_state import _PLAIN_TYPES, LayerState, _with_losses

_Tensor = _engine.Tensor
_push_label = _engine.push_label
_pop_label = _engine.pop_label

_ARRAYS = frozenset((_Tensor, np.ndarray))


class Layer(LayerState):
    """Base class of layers.

    Subclasses implement `call(self, *args, training=None, mask=None)` on tensors (both options only if used),
    and, if they have state, `build(self, input_shape)`, which calls `self.add_weight()` or makes sublayers.
    Variables, layers, metrics and seed generators assigned to attributes (also inside lists and dictionaries)
    are found by themselves.

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
        if state.remat is not None:
            d["_remat_mode"] = get_current_remat_mode()
        if activity_regularizer is not None:
            from fastkeras import regularizers

            activity_regularizer = regularizers.get(activity_regularizer)
        d["activity_regularizer"] = activity_regularizer
        input_shape = _pop_input_shape(kwargs)
        if input_shape is not None:
            warnings.warn(
                "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, "
                "prefer using an `Input(shape)` object as the first layer in the model instead.",
                stacklevel=2,
            )
            d["_input_shape_arg"] = input_shape
        if kwargs:
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}. A layer takes "
                "`name`, `dtype`, `trainable`, `autocast` and `activity_regularizer` beside its own "
                "arguments."
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

    # Building.

    @default
    def build(self, input_shape: Any) -> None:
        """Makes the variables for inputs of this shape; overridden by layers with state."""
        self._check_super_called()
        if self._might_have_unbuilt_state():
            warnings.warn(
                f"`build()` was called on layer '{self.name}', however the layer does not have a `build()` "
                "method implemented and it looks like it has unbuilt state. This will cause the layer to be "
                "marked as built, despite not being actually built, which may cause failures down the line. "
                "Make sure to implement a proper `build()` method.",
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
        if (
            self._might_have_unbuilt_state()
            and not spec.eager
            and not is_default(type(self).compute_output_shape)
        ):
            # Shapes will come from compute_output_shape(), so only this makes the sublayers' variables.
            from fastkeras.core.symbolic import compute_output_spec

            with state_scope():
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
        scopes = s.scopes
        depth = len(scopes)
        try:
            if context is None:
                s.call = CallContext(self)
                if _with_losses:
                    self._clear_losses()
            scopes.append(self)
            _push_label(self.name)
            if context is None or context.training is None or not self._call_info.has_training:
                return self.call(x)
            return self.call(x, training=context.training)
        except Exception as e:
            raise self._explain(e, (x,), {}) from None
        finally:
            # Ctrl-C may strike at any call, one that cleans up included: what matters is put back without calls.
            s.call = context
            del scopes[depth:]
            _pop_label()

    def _remember_fast(self, x: Any, given: Any) -> None:
        """Notes that inputs like `given` (which became `x`) may take the fast path: the call succeeded."""
        if (
            self._mixed
            or not self.built
            or not self._call_info.simple
            or self.activity_regularizer is not None
            or self._supports_masking
            and not is_default(type(self).compute_mask)
            or not self._fast_call_allowed
            or self._remat_mode is not None
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
    # The RematScope that the layer was created in.
    _remat_mode: RematMode | None = None

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
                            "Only input tensors may be passed as positional arguments. The following "
                            f"argument value should be passed as a keyword argument: {leaf} (of type "
                            f"{type(leaf)})"
                        )
        # 2. Which argument is what. `training` may be passed to any layer: one whose call() does not take it
        # hands it on to the layers inside.
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
        if (
            training is not None
            and self._call_info.has_training
            and "training" not in self._call_info.positional[: len(args)]
        ):
            kwargs = {**kwargs, "training": training}
        # 4. Masks that came with the tensors.
        for argument, parameter in self._call_info.mask_parameters(spec):
            if spec.given.get(parameter) is None:
                mask = _masks_of(spec.tensors[argument])
                if mask is not None:
                    kwargs = {**kwargs, parameter: mask}
        # What the output's mask is made of; call() may take masks off its inputs.
        previous = kwargs.get("mask")
        if previous is None and spec.first is not None:
            previous = _masks_of(spec.first)
        # 5. Build, check, run.
        autocast, scopes = state.autocast, state.scopes
        depth = len(scopes)
        try:
            state.call = CallContext(self if outer is None else outer.entry_layer, training)
            if outer is None and _with_losses:
                self._clear_losses()
            scopes.append(self)
            _push_label(self.name)
            scope = self._autocast_scope()
            if not self.built:
                # Variables are made in the type they are stored in, but sublayers may be called: same scope
                # as call().
                with _nothing if scope is None else scope:
                    self._maybe_build(spec)
            if self._input_spec is not None or self._input_spec_is_overridden:
                if spec.first is not None:
                    assert_input_compatibility(self.input_spec, spec.first, self.name)
            if spec.eager:
                call = self.call
                if self._remat_mode is not None:
                    call = self.rematerialized_call(call, *args, **kwargs)
                if scope is None:
                    outputs = call(*args, **kwargs)
                else:
                    with scope:
                        outputs = call(*args, **kwargs)
            else:
                with _nothing if scope is None else scope:
                    outputs = self._symbolic_call(
                        args,
                        kwargs,
                        explicit_training,
                        original,
                        self._recorded(spec, original_options, kwargs),
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
            self._pass_masks_on(spec, outputs, previous)
        except Exception as e:
            raise self._explain(e, args, kwargs) from None
        finally:
            # As in _call_fast.
            state.call = outer
            del scopes[depth:]
            if state.autocast is not autocast:
                set_autocast_scope(autocast)
            _pop_label()
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
            return tree.map_structure(
                lambda y: policy.convert_input(y, self.autocast, self._compute_dtype), x
            )
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

        What was filled in (the training mode, the mask or its absence) is noted for a call on one tensor
        alone. In other calls it is found again when the model runs.
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
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call()` method implemented.")

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

        They come from `compute_output_shape()` if the layer defines it (with the compute type), else from
        tracing `call()`.
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
                f"Method `compute_output_shape()` of layer {type(self).__name__} is returning a type that "
                f"cannot be interpreted as a shape. It should return a shape tuple. Received: {output_shape}"
            )
        return tree.map_shape_structure(
            lambda s: KerasTensor(tuple(s), dtype=self._compute_dtype), output_shape
        )

    # Masks.

    @default
    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Returns the mask of the outputs, by default that of the inputs."""
        return previous_mask

    def _pass_masks_on(self, spec: CallSpec, outputs: Any, previous: Any) -> None:
        first = spec.first
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
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask "
                    "attached to it. However, this layer does not support masking and will therefore destroy "
                    "the mask information. Downstream layers will not see the mask.",
                    stacklevel=3,
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
            `(outputs, non_trainable_variables)` or `(outputs, non_trainable_variables, losses)`, where the
            variables are the values after the call.

        Raises:
            ValueError: if the layer is not built, or the numbers of values do not fit.
        """
        self._check_super_called()
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables must have "
                "been already created). You can build it by calling it on some data."
            )
        pairs: list[tuple[Variable, Any]] = []
        for kind, mine, given in (
            ("trainable_variables", self.trainable_variables, list(trainable_variables)),
            ("non_trainable_variables", self.non_trainable_variables, list(non_trainable_variables)),
        ):
            if len(mine) != len(given):
                raise ValueError(
                    f"Argument `{kind}` must be a list of tensors corresponding 1:1 to "
                    f"{type(self).__name__}().{kind}. Received list with length {len(given)}, but expected "
                    f"{len(mine)} variables."
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

    # Not available.

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} cannot be quantized: quantization is not supported."
        )

    def quantized_build(self, input_shape: Any, mode: str) -> None:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} cannot be quantized: quantization is not supported."
        )

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} cannot be quantized: quantization is not supported."
        )

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        """Returns `layer_call`, made to recompute its activations if the layer's `RematScope` asks for it."""
        mode = self._remat_mode
        if mode is None:
            return layer_call
        if mode.mode == "full" or (mode.mode == "list_of_layers" and self.name in mode.layer_names):
            return remat(layer_call)
        if mode.mode == "larger_than":
            outputs = tree.flatten(self.compute_output_spec(*args, **kwargs))
            size = sum(math.prod(d or 1 for d in x.shape) for x in outputs if x is not None)
            return remat(layer_call) if size > mode.output_size_threshold else layer_call
        activation = getattr(self, "activation", None)
        if mode.mode == "activations" and activation is not None:

            def with_cheap_activation(*args: Any, **kwargs: Any) -> Any:
                self.__dict__["activation"] = remat(activation)
                try:
                    return layer_call(*args, **kwargs)
                finally:
                    self.__dict__["activation"] = activation

            return with_cheap_activation
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
    """Takes the shape arguments of older versions (`input_shape`, `input_dim` ...) from kwargs."""
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
