"""`function`: a Python function, traced once for each signature of its arguments and then run as one engine call.

Inside another trace, or while a tape is open, its ops are recorded there instead, so gradients flow through it.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import traceback
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.global_state import state
from fastkeras.core.keras_tensor import KerasTensor

_Tensor = _engine.Tensor
_Cell = _engine.Cell
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Traces of one function before the user hears that it is traced again and again.
_MANY_TRACES = 6


class TensorSpec:
    """The shape and type of a tensor; None in the shape stands for any size.

    Args:
        shape: the dimensions, or None for any shape.
        dtype: the type name.
        name: a name, for error messages.
    """

    def __init__(self, shape: Any, dtype: Any = "float32", name: str | None = None) -> None:
        from fastkeras.core.dtypes import standardize_dtype

        self.shape = None if shape is None else tuple(shape)
        self.dtype = standardize_dtype(dtype)
        self.name = name

    def is_compatible_with(self, x: Any) -> bool:
        """Whether a tensor has this type and shape."""
        if str(x.dtype) != self.dtype:
            return False
        if self.shape is None:
            return True
        return len(self.shape) == len(x.shape) and all(
            a is None or a == b for a, b in zip(self.shape, x.shape)
        )

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, TensorSpec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r})"


class ConcreteFunction:
    """One trace of a function: what runs for one signature.

    Attributes:
        structured_outputs: the TensorSpecs of the results, nested as the function returns them.
    """

    __slots__ = (
        "executable",
        "name",
        "_treedef",
        "_constants",
        "_single",
        "structured_outputs",
        "__weakref__",
    )

    def __init__(self, executable: Any, name: str, result: Any) -> None:
        leaves, self._treedef = optree.tree_flatten(result, none_is_leaf=True, namespace="fastkeras")
        self.executable = executable
        self.name = name
        self._constants = [
            (i, leaf) for i, leaf in enumerate(leaves) if not isinstance(leaf, (_Tensor, _Cell))
        ]
        self._single = self._treedef.is_leaf() and not self._constants
        self.structured_outputs = self._treedef.unflatten(
            [
                TensorSpec(leaf.shape, leaf.dtype) if isinstance(leaf, (_Tensor, _Cell)) else leaf
                for leaf in leaves
            ]
        )

    def __call__(self, *tensors: Any) -> Any:
        """Runs on the tensors among the arguments, in their order."""
        recording = _engine.in_trace() or _engine.tape_is_open()
        outputs = self.executable.record(*tensors) if recording else self.executable(*tensors)
        if self._single:
            return outputs[0]
        for i, value in self._constants:
            outputs.insert(i, value)
        return self._treedef.unflatten(outputs)

    @property
    def graph(self) -> str:
        """The recorded graph, as text."""
        return self.executable.graph_text()

    def __repr__(self) -> str:
        return f"<ConcreteFunction {self.name}>"


class TracedFunction:
    """What `fastkeras.function` returns; see there."""

    def __init__(
        self, python_function: Callable[..., Any], input_signature: Any, reduce_retracing: bool
    ) -> None:
        self.python_function = python_function
        self._input_signature = None if input_signature is None else tuple(input_signature)
        self._reduce_retracing = reduce_retracing
        self._traces: dict[Any, ConcreteFunction] = {}
        self._calls = 0
        self._trace_count = 0
        self._warned = bool(reduce_retracing)
        self._last_key: Any = None
        self._instances: dict[_Identity, TracedFunction] = {}
        try:
            self._signature: inspect.Signature | None = inspect.signature(python_function)
        except (TypeError, ValueError):
            self._signature = None
        self._parameters = tuple(self._signature.parameters.values()) if self._signature else ()
        # Arguments by position only, all given: nothing to bind.
        self._plain = sum(
            1 for p in self._parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        )
        if any(p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in self._parameters):
            self._plain = -1
        functools.update_wrapper(self, python_function)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        # By identity: instances may be equal, or have no hash. The entry goes with its instance.
        found = self._instances.get(_Identity(instance))
        if found is None:
            key = _Identity(instance, lambda _: self._instances.pop(key, None))
            me, method = weakref.ref(instance), self.python_function

            @functools.wraps(method)
            def bound(*args: Any, **kwargs: Any) -> Any:
                return method(me(), *args, **kwargs)

            bound.__signature__ = _without_self(method)  # type: ignore[attr-defined]
            found = TracedFunction(bound, self._input_signature, self._reduce_retracing)
            self._instances[key] = found
        return found

    @property
    def trace_count(self) -> int:
        """How often the function was traced."""
        return self._trace_count

    experimental_get_tracing_count = lambda self: self._trace_count  # noqa: E731 - tf.function's name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._calls += 1
        if kwargs or len(args) != self._plain:
            args, kwargs = self._bind(args, kwargs)
        if self._input_signature is not None:
            args = self._conform(args)
        key, tensors = _signature_key(args, kwargs)
        if key is None or state.stateless is not None:
            return self.python_function(*args, **kwargs)
        concrete = self._traces.get(key)
        if concrete is None:
            concrete = self._trace(key, args, kwargs)
        return concrete(*tensors)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """Returns the trace for a signature, tracing it if it is new.

        Args:
            *args, **kwargs: arguments as for a call, where a `TensorSpec` of known shape may stand for a
                tensor; without any, the `input_signature`.

        Raises:
            ValueError: for a TensorSpec with unknown dimensions.
        """
        if not args and not kwargs and self._input_signature is not None:
            args = self._input_signature

        def example(x: Any) -> Any:
            if not isinstance(x, TensorSpec) and not _is_foreign_spec(x):
                return x
            shape = None if x.shape is None else tuple(x.shape)
            if shape is None or None in shape:
                raise ValueError(
                    f"get_concrete_function got {x!r}, a shape with unknown sizes. A trace is for one shape: "
                    "give every size a number."
                )
            return _engine.call(
                "full", value=0.0, shape=list(shape), dtype=str(getattr(x.dtype, "name", x.dtype))
            )

        args, kwargs = self._bind(tree.map_structure(example, args), tree.map_structure(example, kwargs))
        key, _ = _signature_key(args, kwargs)
        if key is None:
            raise ValueError("get_concrete_function got symbolic tensors; expected tensors or TensorSpecs.")
        found = self._traces.get(key)
        return found if found is not None else self._trace(key, args, kwargs)

    def tensors_among(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The tensors and arrays among the arguments of a call, as the trace takes them."""
        args, kwargs = self._bind(args, kwargs)
        return _signature_key(self._conform(args) if self._input_signature is not None else args, kwargs)[1]

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Puts arguments in one form, defaults included, so that equal calls have equal keys."""
        if self._signature is None:
            return args, kwargs
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _conform(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        specs = self._input_signature or ()
        if len(args) < len(specs):
            raise TypeError(
                f"{self._name()} has an input_signature of {len(specs)} arguments and got {len(args)}."
            )
        out = []
        for i, arg in enumerate(args):
            if i >= len(specs):
                out.append(arg)
                continue

            def convert(spec: Any, x: Any, i: int = i) -> Any:
                dtype = str(getattr(spec.dtype, "name", spec.dtype))
                t = x if isinstance(x, _Tensor) else _engine.tensor(x, None if hasattr(x, "dtype") else dtype)
                known = None if spec.shape is None else tuple(spec.shape)
                if not TensorSpec(known, dtype).is_compatible_with(t):
                    raise TypeError(
                        f"{self._name()}: argument {i} is a tensor of shape {tuple(t.shape)} and dtype "
                        f"{t.dtype}; its input_signature expects {spec!r}."
                    )
                return t

            out.append(_map_specs(convert, specs[i], arg))
        return tuple(out)

    def _name(self) -> str:
        return getattr(self.python_function, "__name__", "function")

    def _trace(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ConcreteFunction:
        from fastkeras.training.step import TRACE_LOCK

        with TRACE_LOCK:
            found = self._traces.get(key)
            if found is not None:
                return found
            self._trace_count += 1
            self._tell_retracing(key)
            # Inside another trace it may use what was recorded there.
            trace = _engine.Trace(self._name(), body=_engine.in_trace())
            try:
                with trace:
                    inside = _Inputs(trace)
                    args, kwargs = tree.map_structure(inside, (list(args), kwargs))
                    result = self.python_function(*args, **kwargs)
                    result = tree.map_structure(_as_result, result) if result is not None else None
                    leaves = [
                        x.value if isinstance(x, _Cell) else x
                        for x in optree.tree_leaves(result, none_is_leaf=True, namespace="fastkeras")
                        if isinstance(x, (_Tensor, _Cell))
                    ]
                executable = trace.compile(leaves)
            except _engine.TracedValueError as error:
                raise _explained(error, self._name()) from None
            concrete = ConcreteFunction(executable, self._name(), result)
            limit = max(1, int(_engine.config()["function_cache_size"]["value"]))
            while len(self._traces) >= limit:
                del self._traces[next(iter(self._traces))]
            self._traces[key] = concrete
            return concrete

    def _tell_retracing(self, key: Any) -> None:
        last, self._last_key = self._last_key, key
        if self._warned or self._trace_count < _MANY_TRACES or self._calls > 2 * self._trace_count:
            return
        self._warned = True
        warnings.warn(
            f"{self._name()} was traced {self._trace_count} times in {self._calls} calls, and every trace is "
            f"compiled. {self._change(last, key)}",
            stacklevel=4,
        )

    def _change(self, old: Any, new: Any) -> str:
        """Says what differs between two signatures."""
        (old_def, *old_leaves), (new_def, *new_leaves) = old, new
        if old_def != new_def:
            return "The structure of its arguments changed between the last two."
        for i, (a, b) in enumerate(zip(old_leaves, new_leaves)):
            if a == b:
                continue
            name = self._argument(new_def, i)
            if isinstance(b, tuple) and b[0] in (bool, int, float, str):
                return (
                    f"The last change: argument {name} from {_show(a)} to {_show(b)}. Python values are part of the "
                    "signature: pass a number that varies as a tensor (ops.convert_to_tensor)."
                )
            if not isinstance(b, tuple):
                return (
                    f"The last change: argument {name} is another object. Objects are part of the signature: pass "
                    "the same one again, or what the function needs of it as tensors."
                )
            return (
                f"The last change: argument {name} from {_show(a)} to {_show(b)}. A trace is for one shape: pad "
                "the data to a few sizes (for batches: drop_remainder=True)."
            )
        return "An earlier trace was dropped: see the setting function_cache_size."

    def _argument(self, definition: Any, leaf: int) -> str:
        """The name of the argument that a leaf of the signature belongs to, and where in it the leaf is."""
        place, *inside = (leaf,) if isinstance(definition, int) else definition.paths()[leaf]
        if not isinstance(definition, int) and definition.type is tuple:  # (positional, by name)
            place, *inside = inside
        names = [p.name for p in self._parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if isinstance(place, str):
            name = repr(place)
        else:
            name = repr(names[place]) if place < len(names) else f"number {place}"
        return name + "".join(f"[{k!r}]" for k in inside)

    def __repr__(self) -> str:
        return f"<fastkeras.function {self._name()}, {len(self._traces)} traces>"


def function(
    func: Callable[..., Any] | None = None,
    input_signature: Any = None,
    autograph: bool = True,
    jit_compile: bool | None = None,
    reduce_retracing: bool = False,
    **experimental: Any,
) -> Any:
    """Compiles a Python function: traced once for each signature, then one engine call.

    The signature is the nest of the arguments, the shapes and types of tensors, arrays and variables, and the values
    of everything else. Python code runs while tracing only; so do its side effects. Reading and assigning
    variables, random numbers and gradients work as in eager code. What a tensor's value decides has to be
    written with `ops.cond`, `ops.while_loop`, `ops.where`: a Python `if` on a tensor raises an error that
    names the line.

    Args:
        func: the function; left out, a decorator is returned.
        input_signature: a sequence of `TensorSpec`; arguments are converted to and checked against it. None in a
            shape accepts any size (a trace is made for each).
        autograph: accepted for compatibility; Python control flow is not converted.
        jit_compile: accepted for compatibility; everything is compiled.
        reduce_retracing: accepted for compatibility; silences the warning about repeated tracing.

    Example:
        >>> @fastkeras.function
        ... def square(x):
        ...     return x * x
        >>> float(square(fastkeras.ops.array(3.0)))
        9.0
    """
    for name in experimental:
        if not name.startswith("experimental_"):
            raise TypeError(f"function() got an unexpected keyword argument {name!r}")

    def decorate(f: Callable[..., Any]) -> TracedFunction:
        return TracedFunction(f, input_signature, reduce_retracing)

    return decorate if func is None else decorate(func)


class _Inputs:
    """Turns the tensors and arrays among the arguments into inputs of the trace."""

    def __init__(self, trace: Any) -> None:
        self._trace = trace

    def __call__(self, x: Any) -> Any:
        if type(x) is _Tensor or isinstance(x, (np.ndarray, np.generic)):
            return self._trace.input(x.shape, str(x.dtype))
        return x


def _as_result(x: Any) -> Any:
    return _engine.tensor(x) if isinstance(x, (np.ndarray, np.generic)) else x


def _signature_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]]:
    """(key of the signature, the tensors and arrays in order); the key is None for symbolic arguments."""
    if kwargs:
        leaves, treedef = optree.tree_flatten((list(args), kwargs), none_is_leaf=True, namespace="fastkeras")
    else:
        for x in args:
            if isinstance(x, (list, tuple, dict)):
                leaves, treedef = optree.tree_flatten(list(args), none_is_leaf=True, namespace="fastkeras")
                break
        else:
            leaves, treedef = args, len(args)
    key: list[Any] = [treedef]
    tensors: list[Any] = []
    for x in leaves:
        kind = type(x)
        if kind is _Tensor:
            key.append((x.shape, x.dtype))
            tensors.append(x)
        elif isinstance(x, _ARRAYS):
            key.append((x.shape, _dtype_name(x.dtype)))
            tensors.append(x if isinstance(x, np.ndarray) else np.asarray(x))
        elif kind is bool or kind is int or kind is str:
            key.append((kind, x))
        elif kind is float:
            key.append((kind, repr(x)))  # 0.0 and -0.0 are two, NaN and NaN are one
        elif isinstance(x, KerasTensor):
            return None, []
        elif x is None or isinstance(x, type):
            key.append(x)
        else:
            key.append(_Identity(x))
    return tuple(key), tensors


_ARRAYS = (np.ndarray, np.generic)
_dtype_name = functools.lru_cache(maxsize=None)(str)


class _Identity:
    """Stands for an object in a key without keeping it alive; equal for the same living object only."""

    __slots__ = ("_ref", "_id")

    def __init__(self, x: Any, when_gone: Callable[[Any], Any] | None = None) -> None:
        self._id = id(x)
        try:
            self._ref: Any = weakref.ref(x, when_gone)
        except TypeError:
            self._ref = lambda: x

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, _Identity):
            return False
        mine = self._ref()
        return mine is not None and mine is other._ref()

    def __hash__(self) -> int:
        return self._id


def _show(part: Any) -> str:
    """A part of a key, in words."""
    if not isinstance(part, tuple):
        return "an object" if isinstance(part, _Identity) else repr(part)
    kind, value = part
    if isinstance(kind, tuple):
        return f"shape {tuple(kind)} {value}"
    return value if kind is float else repr(value)


def _is_foreign_spec(x: Any) -> bool:
    return type(x).__name__ == "TensorSpec" and hasattr(x, "shape") and hasattr(x, "dtype")


def _map_specs(f: Callable[[Any, Any], Any], spec: Any, x: Any) -> Any:
    """f(spec, x) at the leaves of a nest of specs."""
    if isinstance(spec, TensorSpec) or _is_foreign_spec(spec):
        return f(spec, x)
    if isinstance(spec, dict):
        return {k: _map_specs(f, spec[k], x[k]) for k in spec}
    return type(spec)(_map_specs(f, s, v) for s, v in zip(spec, x, strict=True))


def _without_self(method: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(method)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _explained(error: BaseException, name: str) -> BaseException:
    """The error for a value asked for while tracing, naming the user's line."""
    where = _user_line(traceback.extract_tb(error.__traceback__))
    return _engine.TracedValueError(
        f"The function {name!r} asked for the value of a tensor while it was traced{where}. A traced tensor has a "
        "shape and a dtype but no value yet. Choose between values with `ops.where` or `ops.cond(condition, "
        "if_true, if_false)`, loop with `ops.while_loop`, or call the function without `fastkeras.function`: "
        "eager code runs compiled, too."
    )


def _user_line(frames: Sequence[traceback.FrameSummary]) -> str:
    for frame in reversed(frames):
        if not frame.filename.startswith(_PACKAGE) and not frame.filename.startswith("<frozen"):
            code = linecache.getline(frame.filename, frame.lineno or 0).strip()
            shown = f": `{code}`" if code else ""
            return f", at {frame.filename}, line {frame.lineno}{shown}"
    return ""
