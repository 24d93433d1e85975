"""`clone_model`: the same architecture with new layers and new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.operation import Operation
from fastkeras.layers.input_layer import Input, InputLayer
from fastkeras.layers.layer import Layer
from fastkeras.models.functional import Functional, functional_like_constructor
from fastkeras.models.model import Model
from fastkeras.models.sequential import Sequential


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Model:
    """Returns a model with the same architecture, new layers and newly initialized weights.

    Args:
        model: a functional or Sequential model, or (without the options below) a subclassed one.
        input_tensors: KerasTensors to build the clone on, in place of new inputs.
        clone_function: called with each layer (not with InputLayers), returns the layer for the clone;
            default `layer.__class__.from_config(layer.get_config())`. For functional models it gets
            operations too.
        call_function: called as `call_function(layer, *args, **kwargs)` for each call; default `layer(*args,
            **kwargs)`. Functional models only.
        recursive: whether models inside are cloned layer by layer with `clone_function`.
        **kwargs: `cache`, a dictionary in which clones are looked up by the `id()` of layers and put.

    Raises:
        ValueError: for an option that does not apply to this kind of model.

    Example:
        # The same model with dropout made stronger.
        def clone_function(layer):
            config = layer.get_config()
            if "rate" in config:
                config["rate"] = 0.5
            return layer.__class__.from_config(config)

        new_model = clone_model(model, clone_function=clone_function)
    """
    cache = kwargs.pop("cache", None)
    if kwargs:
        raise ValueError(f"Unexpected keyword argument(s): {tuple(kwargs)}")
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` argument is not supported with Sequential models. In a Sequential model, "
                "layers aren't called at model-construction time (they're merely listed). Use "
                "`call_function` with Functional models only. Received model of type "
                f"'{type(model).__name__}', with call_function={call_function}"
            )
        return _clone_sequential(model, clone_function or _default_clone, cache, recursive, input_tensors)
    if isinstance(model, Functional):
        if functional_like_constructor(type(model)):
            if clone_function is None and call_function is None and input_tensors is None and not recursive:
                clone_function = _default_clone
            return _clone_functional(
                model, clone_function or _default_clone, call_function, cache, recursive, input_tensors
            )
        if clone_function or call_function or input_tensors is not None:
            raise ValueError(
                "Arguments `clone_function`, `call_function` and `input_tensors` are only supported for "
                f"Sequential models or Functional models. Received a model of type '{type(model).__name__}', "
                "with a custom `__init__()`."
            )
        return type(model).from_config(model.get_config())
    if clone_function is not None or input_tensors is not None or call_function is not None:
        name = (
            "clone_function"
            if clone_function is not None
            else ("input_tensors" if input_tensors is not None else "call_function")
        )
        raise ValueError(
            f"Argument `{name}` is only supported for Sequential and Functional models. Received model of "
            f"type '{type(model).__name__}'."
        )
    if not isinstance(model, Model):
        raise ValueError(f"Expected `model` argument to be a `Model` instance. Received: model={model}")
    return type(model).from_config(model.get_config())


def _default_clone(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _cached(layer: Any, cache: dict[int, Any] | None, make: Callable[[Any], Any]) -> Any:
    if cache is not None and id(layer) in cache:
        return cache[id(layer)]
    new = make(layer)
    if cache is not None:
        cache[id(layer)] = new
    return new


def _maker(
    clone_function: Callable[[Any], Any],
    call_function: Callable[..., Any] | None,
    cache: Any,
    recursive: bool,
) -> Callable[[Any], Any]:
    def make(layer: Any) -> Any:
        if recursive and isinstance(layer, (Sequential, Functional)):
            return clone_model(
                layer,
                clone_function=clone_function,
                call_function=None if isinstance(layer, Sequential) else call_function,
                recursive=True,
                cache=cache,
            )
        return clone_function(layer)

    return make


def _clone_sequential(
    model: Sequential,
    clone_function: Callable[[Any], Any],
    cache: dict[int, Any] | None,
    recursive: bool,
    input_tensors: Any,
) -> Sequential:
    make = _maker(clone_function, None, cache, recursive)
    layers: list[Any] = [_cached(layer, cache, make) for layer in model.layers]
    first = model._stack[0] if model._stack else None
    if input_tensors is not None:
        tensors = tree.flatten(input_tensors)
        if len(tensors) != 1 or not isinstance(tensors[0], KerasTensor):
            raise ValueError(
                "Argument `input_tensors` must contain a single KerasTensor for a Sequential model. "
                f"Received: input_tensors={input_tensors}"
            )
        layers.insert(0, tensors[0])
    elif isinstance(first, InputLayer):
        layers.insert(0, InputLayer(batch_shape=first.batch_shape, dtype=first.dtype, name=first.name))
    cls = type(model) if type(model).__init__ is Sequential.__init__ else Sequential
    return cls(layers, name=model.name, trainable=model.trainable)


def _clone_functional(
    model: Functional,
    clone_function: Callable[[Any], Any],
    call_function: Callable[..., Any] | None,
    cache: dict[int, Any] | None,
    recursive: bool,
    input_tensors: Any,
) -> Functional:
    if input_tensors is not None:
        flat = tree.flatten(input_tensors)
        if not all(isinstance(t, KerasTensor) for t in flat):
            raise ValueError(
                "All entries in `input_tensors` must be KerasTensors. "
                f"Received invalid values: input_tensors={input_tensors}"
            )
        if len(flat) != len(model._inputs):
            raise ValueError(
                f"`input_tensors` must have one tensor for each of the {len(model._inputs)} inputs of the "
                f"model. Received: input_tensors={input_tensors}"
            )
        tensors = flat
    else:
        tensors = [
            Input(
                batch_shape=t.shape,
                dtype=t.dtype,
                name=t._keras_history.operation.name,
                optional=getattr(t._keras_history.operation, "optional", False),
            )
            for t in model._inputs
        ]
    make = _maker(clone_function, call_function, cache, recursive)
    clones: dict[int, Any] = {}

    def run(operation: Operation, args: Any, kwargs: Any) -> Any:
        new = clones.get(id(operation))
        if new is None:
            if isinstance(operation, Layer):
                new = _cached(operation, cache, make)
            elif clone_function is _default_clone:
                new = _default_clone(operation)
            else:
                new = _cached(operation, cache, clone_function)
            clones[id(operation)] = new
        if call_function is not None:
            return call_function(new, *args, **kwargs)
        return new(*args, **kwargs)

    outputs = model._run_with(tensors, run)
    inputs = tree.pack_sequence_as(model._inputs_struct, tensors)
    cls = type(model) if isinstance(model, Functional) else Functional
    return cls(inputs, outputs, name=model.name, trainable=model.trainable)
