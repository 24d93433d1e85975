"""`Operation`: something callable on tensors that can be a node of a functional graph (layers, ops)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor, any_symbolic_tensors
from fastkeras.core.naming import auto_name
from fastkeras.core.node import Node


class Operation:
    """Base class of what functional graphs are made of.

    A subclass defines `call()`. Called on KerasTensors it records a node; called on tensors it runs.

    Args:
        name: default made from the class name.

    Raises:
        ValueError: if `name` is not a string, or contains "/".
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Operation:
        instance = object.__new__(cls)
        # A class without get_config() of its own is saved by the arguments it was made with.
        if cls._saves_by_arguments():
            object.__setattr__(instance, "_init_arguments", (args, kwargs))
        return instance

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name} "
                f"(of type {type(name)})"
            )
        self.name = name
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Infers the outputs of a call on KerasTensors and records the call as a node."""
        outputs = self.compute_output_spec(*args, **kwargs)
        return Node(self, args, kwargs, outputs).outputs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs; defined by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define a `call()` method.")

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns KerasTensors like the outputs of `call()` for these arguments."""
        from fastkeras.core.symbolic import compute_output_spec

        try:
            return compute_output_spec(self.call, *args, **kwargs)
        except Exception as e:
            from fastkeras.core.traceback_utils import with_context

            raise with_context(
                e,
                f"Could not automatically infer the output shape / dtype of '{self.name}' (of type "
                f"{type(self).__name__}). Either the `{type(self).__name__}.call()` method is incorrect, or "
                f"you need to implement the `{type(self).__name__}.compute_output_spec() / "
                "compute_output_shape()` method.",
            ) from None

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError("Quantization is not supported by fastkeras.")

    def rematerialized_call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Returns `fn` as it is; layers made in a `RematScope` recompute what they need instead of keeping it."""
        return fn

    # Configuration.

    @classmethod
    def _saves_by_arguments(cls) -> bool:
        return not _config_is_overridden(cls)

    def get_config(self) -> dict[str, Any]:
        """Returns a serializable dictionary from which `from_config()` makes an operation like this one.

        A class without a `get_config()` of its own gets one from the arguments of its `__init__()`.

        Raises:
            NotImplementedError: if those arguments are not serializable.
        """
        config: dict[str, Any] = {"name": self.name}
        if not self._saves_by_arguments():
            return config
        arguments = self._config_from_arguments()
        if arguments is None:
            raise NotImplementedError(
                f"Object {type(self).__name__} was created by passing non-serializable argument values in "
                "`__init__()`, and therefore the object must override `get_config()` in order to be "
                "serializable. Please implement `get_config()`.\n\nExample:\n\n"
                "class CustomLayer(fastkeras.layers.Layer):\n"
                "    def __init__(self, arg1, arg2, **kwargs):\n"
                "        super().__init__(**kwargs)\n"
                "        self.arg1 = arg1\n"
                "        self.arg2 = arg2\n\n"
                "    def get_config(self):\n"
                "        config = super().get_config()\n"
                '        config.update({"arg1": self.arg1, "arg2": self.arg2})\n'
                "        return config"
            )
        config.update({k: v for k, v in arguments.items() if k != "name"})
        parameters = _init_parameters(type(self))
        if not parameters.open_ended:
            for key in [
                k for k in ("name", "trainable", "dtype") if k in config and k not in parameters.names
            ]:
                del config[key]
        return config

    def _config_from_arguments(self) -> dict[str, Any] | None:
        args, kwargs = self.__dict__.get("_init_arguments", ((), {}))
        parameters = _init_parameters(type(self))
        config = dict(parameters.defaults)
        config.update(zip(parameters.names, args))
        config.update(kwargs)
        if len(args) > len(parameters.names) or not all(_is_plain(v) for v in config.values()):
            return None
        from fastkeras.saving.serialization import serialize_keras_object

        return {k: serialize_keras_object(v) for k, v in config.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Operation:
        """Makes an operation from a dictionary returned by `get_config()`.

        Raises:
            TypeError: if the constructor does not take the configuration.
        """
        config = dict(config)
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            from fastkeras.core import dtype_policies

            config["dtype"] = dtype_policies.deserialize(dtype)
        later: dict[str, Any] = {}
        if cls._saves_by_arguments():
            from fastkeras.saving.serialization import deserialize_keras_object

            config = {
                k: deserialize_keras_object(v) if isinstance(v, dict) and k != "dtype" else v
                for k, v in config.items()
            }
            parameters = _init_parameters(cls)
            if not parameters.open_ended:
                # A constructor without **kwargs does not take what the base class adds.
                for key in ("name", "trainable", "dtype"):
                    if key in config and key not in parameters.names:
                        later[key] = config.pop(key)
        try:
            instance = cls(**config)
            if later.get("trainable") is False:
                instance.trainable = False  # type: ignore[attr-defined]
            if (
                "dtype" in later
                and hasattr(instance, "dtype_policy")
                and instance.dtype_policy != later["dtype"]
            ):
                instance.dtype_policy = later["dtype"]
            return instance
        except Exception as e:
            raise TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={config}.\n\n"
                f"Exception encountered: {e}"
            ) from e

    # The graph.

    @property
    def input(self) -> Any:
        """The symbolic inputs of the first call.

        Raises:
            AttributeError: if it was never called on KerasTensors.
        """
        return _nested_inputs(self._first_node("input"))

    @property
    def output(self) -> Any:
        """The symbolic outputs of the first call.

        Raises:
            AttributeError: if it was never called on KerasTensors.
        """
        return self._first_node("output").outputs

    def _first_node(self, attribute: str) -> Node:
        nodes = self.__dict__.get("_inbound_nodes") or ()
        if not nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {attribute}."
            )
        return nodes[0]


def _nested_inputs(node: Node) -> Any:
    if not node.kwargs and len(node.args) == 1:
        return node.args[0]
    tensors = node.input_tensors
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _config_is_overridden(cls: type) -> bool:
    return not getattr(cls.get_config, "_is_default", False)  # type: ignore[attr-defined]


def default(method: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a base-class method, so that a subclass' own can be told from it."""
    method._is_default = True  # type: ignore[attr-defined]
    return method


def is_default(method: Any) -> bool:
    """Whether `method` is the base class' one."""
    return getattr(method, "_is_default", False)


Operation.get_config = default(Operation.get_config)  # type: ignore[method-assign]


class _Parameters:
    __slots__ = ("names", "defaults", "open_ended")

    def __init__(self, cls: type) -> None:
        spec = inspect.getfullargspec(cls.__init__)
        self.names = [*spec.args[1:], *spec.kwonlyargs]
        defaults = dict(zip(reversed(spec.args), reversed(spec.defaults or ())))
        defaults.update(spec.kwonlydefaults or {})
        # A default that cannot be written down need not be: the constructor has it.
        self.defaults = {k: defaults[k] for k in self.names if k in defaults and _is_plain(defaults[k])}
        self.open_ended = spec.varkw is not None


def _init_parameters(cls: type) -> _Parameters:
    # Kept on the class itself, so that it goes when the class goes.
    found = cls.__dict__.get("_known_init_parameters")
    if found is None:
        found = _Parameters(cls)
        cls._known_init_parameters = found  # type: ignore[attr-defined]
    return found


def _is_plain(value: Any) -> bool:
    """Whether an argument can be written to a configuration as it is."""
    from fastkeras.core.dtype_policies import DTypePolicy

    for x in tree.flatten(value) if tree.is_nested(value) else (value,):
        if x is not None and not isinstance(x, (bool, int, float, str, DTypePolicy)):
            return False
    return True


class OpNode(Operation):
    """A call of a function of `fastkeras.ops` in a functional graph.

    Each op has a subclass named as Keras names its class (`Add`, `Reshape`), so that summaries and files look
    the same.

    Args:
        static: the arguments that Keras stores with the operation instead of with the call.
        name: default made from the class name.
    """

    # Set by `op_class`.
    op_name: str = ""
    op_function: Callable[..., Any] | None = None
    keras_module: str | None = None
    static_parameters: tuple[str, ...] = ()
    # (name, takes the rest) of every parameter if stored ones come before passed ones, else None.
    mixed_order: tuple[tuple[str, bool], ...] | None = None

    def __init__(self, static: dict[str, Any] | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.static = dict(static or {})

    @classmethod
    def _saves_by_arguments(cls) -> bool:
        return False

    @classmethod
    def from_call(
        cls, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[OpNode, tuple[Any, ...], dict[str, Any]]:
        """Returns the operation for `fn(*args, **kwargs)`, and the arguments left for its call."""
        from fastkeras.core.op_classes import op_class, split_arguments

        kind = op_class(fn)
        static, args, kwargs = split_arguments(kind, fn, args, kwargs)
        return kind(static), args, kwargs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self._arguments(args, kwargs)
        return type(self).op_function(*args, **kwargs)  # type: ignore[misc]

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The arguments of the op: those of the call and the stored ones, in its order."""
        order = type(self).mixed_order
        if order is None:
            return args, {**self.static, **kwargs} if self.static else kwargs
        rest = list(args)
        out: list[Any] = []
        kwargs = {**self.static, **kwargs}
        for name, takes_rest in order:
            if takes_rest:
                out.extend(rest)
                rest = []
            elif name in kwargs:
                # By position while there are more positional ones to come, by name after.
                if not rest:
                    break
                out.append(kwargs.pop(name))
            elif rest:
                out.append(rest.pop(0))
        return out, kwargs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        from fastkeras.core.symbolic import compute_output_spec

        fn = type(self).op_function
        args, kwargs = self._arguments(args, kwargs)
        spec = getattr(fn, "_symbolic_spec", None)
        if spec is not None:
            result = spec(*args, **kwargs)
            if result is not NotImplemented:
                return result
        try:
            return compute_output_spec(getattr(fn, "_symbolic_fn", fn), *args, **kwargs)
        except Exception as e:
            from fastkeras.core.traceback_utils import describe, with_context

            lines = [f"  • {describe(a)}" for a in args] + [
                f"  • {k}={describe(v)}" for k, v in kwargs.items()
            ]
            raise with_context(
                e,
                f"Exception encountered when inferring the result of `ops.{self.op_name}` on symbolic "
                "tensors.",
                f"Arguments received by ops.{self.op_name}() (sizes that are None here were tried as "
                "numbers):\n" + "\n".join(lines),
            ) from None

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {"name": self.name, **{k: serialize_keras_object(v) for k, v in self.static.items()}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OpNode:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = dict(config)
        name = config.pop("name", None)
        return cls({k: deserialize_keras_object(v) for k, v in config.items()}, name=name)


def get_source_inputs(tensor: KerasTensor) -> list[KerasTensor]:
    """Returns the KerasTensors without producers (inputs) that `tensor` is computed from.

    Example:
        >>> x = fastkeras.Input((2,)); y = x * 2 + 1
        >>> get_source_inputs(y) == [x]
        True
    """
    if not isinstance(tensor, KerasTensor) or tensor._keras_history is None:
        return [tensor]
    sources: list[KerasTensor] = []
    seen: set[int] = set()
    stack = [tensor]
    while stack:
        t = stack.pop()
        if id(t) in seen:
            continue
        seen.add(id(t))
        history = t._keras_history
        node = history.operation._inbound_nodes[history.node_index] if history is not None else None
        if node is None or node.is_input:
            if not any(t is s for s in sources):
                sources.append(t)
        else:
            stack.extend(reversed(node.input_tensors))
    return sources


__all__ = [
    "OpNode",
    "Operation",
    "default",
    "get_source_inputs",
    "is_default",
]


def __getattr__(name: str) -> Any:
    # `symbolic_op` needs Operation, so it lives in a module that imports this one.
    if name in ("symbolic_op", "compute_output_spec"):
        from fastkeras.core import symbolic

        return getattr(symbolic, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
