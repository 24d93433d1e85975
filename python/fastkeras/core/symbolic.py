"""Symbolic execution: shapes and types of results without values, and the decorator that makes ops accept
KerasTensors.

The engine knows exact shapes only, so an unknown dimension is found by experiment: the function is traced
with one size in its place and then with another, and the dimensions of the result that differ are unknown.
Nothing is computed and no memory is taken: a trace that is dropped never runs. Only a function that asks for
values (a Python `if` on a tensor) is run for that, on ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.global_state import state
from fastkeras.core.keras_tensor import _CONTAINERS, KerasTensor, _holds_symbolic
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from fastkeras.core.operation import OpNode
from fastkeras.core.scopes import StatelessScope, SymbolicScope
from fastkeras.core.variable import Variable

_Tensor = _engine.Tensor
_F = TypeVar("_F", bound=Callable[..., Any])

# Two sizes for an unknown first dimension, two for the other unknown ones. They are unlikely as real sizes, and
# have many divisors: strides, pooling and reshapes must divide them and still tell the two apart. The second row
# is for functions that mix the first dimension with others, the third for very large windows, the rest for
# functions with a limit to sizes, such as a table of positions.
_SIZES = (
    ((4, 6), (1120, 2240)),
    ((1120, 2240), (1120, 2240)),
    ((10080, 20160), (10080, 20160)),
    ((4, 6), (52, 78)),
    ((4, 6), (14, 22)),
    ((4, 6), (3, 5)),
    ((3, 5), (3, 5)),
)
# Those for a function that is run.
_SMALL_SIZES = _SIZES[3:]

# Whether the engine casts variables by itself inside an autocast scope.
_ENGINE_AUTOCASTS = hasattr(_engine, "set_autocast")


class _Placeholders:
    """The sizes that stand for unknown dimensions in the trace being made."""

    __slots__ = ("first", "other")

    def __init__(self, first: int | None, other: int | None) -> None:
        self.first = first
        self.other = other


def restore_unknown(shape: tuple[int, ...]) -> tuple[int | None, ...]:
    """Returns `shape` with the placeholder sizes of the trace in progress turned back into None.

    A layer that is built while its parent is traced must not take a placeholder for a real size.
    """
    sizes = state.placeholders
    if sizes is None or not shape:
        return tuple(shape)
    first, other = sizes.first, sizes.other
    return tuple(
        None if d == other and d is not None or (i == 0 and d == first) else d for i, d in enumerate(shape)
    )


def compute_output_spec(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns what `fn(*args, **kwargs)` returns, with KerasTensors for tensors.

    Args:
        fn: a function of tensors. It is called once, or twice if a shape has unknown dimensions, inside an
            engine trace. If it asks for values there, it is called on tensors of ones (of zeros, for integers),
            and what it assigns to variables is forgotten.
        *args: arguments; KerasTensors in them, at any depth, stand for tensors.
        **kwargs: likewise.

    Raises:
        Whatever `fn` raises for the first sizes tried, if it raises for all.
    """
    leaves: list[KerasTensor] = []
    _collect((args, kwargs), leaves)
    unknown_first = unknown_other = False
    for t in leaves:
        shape = t._shape
        if None in shape:
            unknown_first = unknown_first or shape[0] is None
            unknown_other = unknown_other or None in shape[1:]
    try:
        return _infer(_Traced, _SIZES, fn, args, kwargs, leaves, unknown_first, unknown_other)
    except _engine.TracedValueError:
        return _infer(_Evaluated, _SMALL_SIZES, fn, args, kwargs, leaves, unknown_first, unknown_other)


def _infer(
    inputs: type[_Traced],
    sizes: tuple[Any, ...],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    leaves: list[KerasTensor],
    unknown_first: bool,
    unknown_other: bool,
) -> Any:
    """The result for sizes that `fn` takes in place of the unknown ones."""
    if not (unknown_first or unknown_other):
        return _to_symbolic(_call(inputs, fn, args, kwargs, None, None), None)
    error: BaseException | None = None
    for first, other in _attempts(sizes, leaves, (args, kwargs), unknown_first, unknown_other):
        try:
            a = _call(inputs, fn, args, kwargs, first[0], other[0] if unknown_other else None)
            b = None
            if _has_tensor_dims(a):
                b = _call(inputs, fn, args, kwargs, first[1], other[1] if unknown_other else None)
        except _engine.TracedValueError:
            raise
        except Exception as e:
            # The error for the first sizes is the one to show, if no sizes will do.
            error = error or e
            continue
        return _to_symbolic(a, b)
    assert error is not None
    raise error


def _attempts(
    sizes: tuple[Any, ...],
    leaves: list[KerasTensor],
    arguments: Any,
    unknown_first: bool,
    unknown_other: bool,
) -> Any:
    """Pairs of sizes to try for the unknown first dimension, and for the other unknown dimensions."""
    first, other = sizes[0]
    yield first, other
    if unknown_other:
        yield from sizes[1:]
    # An unknown dimension that meets a known one (by broadcasting, say) can only be equal to it.
    known: list[int] = []
    for x in tree.flatten(arguments):
        for d in getattr(x, "shape", None) or ():
            if isinstance(d, int) and d > 1 and d not in known:
                known.append(d)
    for d in known[:8]:
        if unknown_other:
            yield first, (d, d)
            yield (d, d), other if unknown_first else (d, d)
        if unknown_first:
            yield (d, d), (d, d)


def _collect(x: Any, leaves: list[KerasTensor]) -> None:
    if isinstance(x, KerasTensor):
        leaves.append(x)
    elif isinstance(x, dict):
        for v in x.values():
            _collect(v, leaves)
    elif isinstance(x, (list, tuple)):
        for v in x:
            _collect(v, leaves)


class _Traced:
    """Where a function is called to find its results' shapes: in a trace that never runs, on its inputs."""

    def __init__(self) -> None:
        self._trace = _engine.Trace()

    def __enter__(self) -> None:
        self._trace.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self._trace.__exit__(*exc)

    def input(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self._trace.input(shape, dtype)


class _Evaluated(_Traced):
    """The same for a function that asks for values: on ones (zeros, for integers), outside any trace."""

    def __init__(self) -> None:
        self._suspended = _engine.suspend_trace()
        self._scope = StatelessScope()

    def __enter__(self) -> None:
        self._suspended.__enter__()
        self._scope.__enter__()

    def __exit__(self, *exc: Any) -> None:
        try:
            self._scope.__exit__(*exc)
        finally:
            self._suspended.__exit__(*exc)

    def input(self, shape: tuple[int, ...], dtype: str) -> Any:
        value = 0 if "int" in dtype else 1
        return _engine.call("full", value=value, shape=list(shape), dtype=dtype)


def _call(
    inputs: type[_Traced],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    first: int | None,
    other: int | None,
) -> list[Any] | Any:
    seen: dict[int, Any] = {}
    place = inputs()

    def placeholder(t: KerasTensor) -> Any:
        x = seen.get(id(t))
        if x is None:
            shape = [
                d if d is not None else (first if i == 0 or other is None else other)
                for i, d in enumerate(t._shape)
            ]
            x = seen[id(t)] = place.input(tuple(shape), t._dtype)
            if t._keras_mask is not None:
                mask = t._keras_mask
                set_keras_mask(x, placeholder(mask) if isinstance(mask, KerasTensor) else mask)
        return x

    def concrete(x: Any) -> Any:
        if isinstance(x, KerasTensor):
            return placeholder(x)
        if isinstance(x, (list, tuple, dict)):
            return tree.map_structure(lambda y: placeholder(y) if isinstance(y, KerasTensor) else y, x)
        return x

    outer, symbolic = state.placeholders, state.symbolic
    try:
        with SymbolicScope(), place:
            if first is not None:
                state.placeholders = _Placeholders(first, other)
            return fn(*[concrete(a) for a in args], **{k: concrete(v) for k, v in kwargs.items()})
    finally:
        # Without calls: Ctrl-C may strike at any, that of the scope's exit included.
        state.placeholders = outer
        state.symbolic = symbolic


def _has_tensor_dims(result: Any) -> bool:
    return any(getattr(x, "shape", ()) for x in tree.flatten(result))


def _to_symbolic(a: Any, b: Any) -> Any:
    """KerasTensors for the tensors in result `a`; dimensions unlike those of result `b` become None."""
    if type(a) is _Tensor and (b is None or type(b) is _Tensor):
        return _one(a, b)
    if b is None:
        return tree.map_structure(lambda x: _one(x, None), a)
    flat_a, flat_b = tree.flatten(a), tree.flatten(b)
    if len(flat_a) != len(flat_b):
        raise ValueError(
            f"A function returned {len(flat_a)} results for one batch size and {len(flat_b)} for another: "
            "the structure of the outputs must not depend on an unknown dimension."
        )
    return tree.pack_sequence_as(a, [_one(x, y) for x, y in zip(flat_a, flat_b)])


def _one(x: Any, y: Any) -> Any:
    if isinstance(x, KerasTensor) or not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return x
    shape = tuple(x.shape)
    if y is not None and hasattr(y, "shape"):
        other = tuple(y.shape)
        if len(shape) != len(other):
            raise ValueError(
                "A function's result changed its number of dimensions with an unknown dimension."
            )
        shape = tuple(d if d == e else None for d, e in zip(shape, other))
    out = KerasTensor(shape, x.dtype)
    mask = get_keras_mask(x)
    if mask is not None:
        out._keras_mask = _one(mask, get_keras_mask(y) if y is not None else None)
    return out


def symbolic_op(fn: Any = None, *, spec: Callable[..., Any] | None = None) -> Any:
    """Decorator for public ops: with a KerasTensor among the arguments, records a graph node instead of
    running.

    Args:
        fn: the op, a function of tensors.
        spec: optional function with the op's parameters that returns KerasTensors. Needed only by an op whose
            result shape cannot be found by tracing it with sizes put in for unknown dimensions (`reshape`,
            say, where no size put in need be divisible as the real one is). It may return NotImplemented to
            leave a case to tracing.

    Example:
        @symbolic_op
        def softsign(x):
            return _engine.call("softsign", x)
    """
    if fn is None:
        return lambda f: symbolic_op(f, spec=spec)

    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for a in args:
            t = type(a)
            if t is KerasTensor or (t in _CONTAINERS and _holds_symbolic(a)):
                return record_op(wrapper, args, kwargs)
        if kwargs:
            for a in kwargs.values():
                t = type(a)
                if t is KerasTensor or (t in _CONTAINERS and _holds_symbolic(a)):
                    return record_op(wrapper, args, kwargs)
        if state.autocast is not None and not _ENGINE_AUTOCASTS:
            args, kwargs = _read_variables(args, kwargs)
        return fn(*args, **kwargs)

    wrapper._symbolic_fn = fn  # type: ignore[attr-defined]
    wrapper._symbolic_spec = spec or _SPECS.get(fn.__name__)  # type: ignore[attr-defined]
    return wrapper


def _read_variables(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Replaces variables by their values, which are in the compute type of the autocast scope."""

    def read(x: Any) -> Any:
        if isinstance(x, Variable):
            return x.value
        if type(x) in (list, tuple):
            return type(x)(read(y) for y in x)
        return x

    return tuple(read(a) for a in args), {k: read(v) for k, v in kwargs.items()}


def record_op(wrapper: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Makes the graph node for a call of a public op and returns its symbolic results."""
    operation, args, kwargs = OpNode.from_call(wrapper, args, kwargs)
    return operation.symbolic_call(*args, **kwargs)


def _get_item_spec(x: KerasTensor, key: Any) -> Any:
    """Part of an unknown dimension has an unknown size, whatever the trial sizes say."""
    keys = key if isinstance(key, tuple) else (key,)
    if not isinstance(x, KerasTensor) or any(
        not (k is None or k is Ellipsis or isinstance(k, (int, slice)) and not isinstance(k, bool))
        for k in keys
    ):
        return NotImplemented
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("An index can only have a single ellipsis ('...').")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > len(x.shape):
        raise IndexError(f"Too many indices: {used} for a KerasTensor of shape {x.shape}.")
    if Ellipsis not in keys:
        keys = (*keys, Ellipsis)
    dims = list(x.shape)
    out: list[int | None] = []
    for k in keys:
        if k is None:
            out.append(1)
        elif k is Ellipsis:
            rest = len(x.shape) - used
            out.extend(dims[:rest])
            del dims[:rest]
        elif isinstance(k, int):
            d = dims.pop(0)
            if d is not None and not -d <= k < d:
                raise IndexError(f"Index {k} is out of range for a dimension of size {d} of shape {x.shape}.")
        else:
            d = dims.pop(0)
            if d is not None:
                d = len(range(*k.indices(d)))
            out.append(d)
    return KerasTensor(out, dtype=x.dtype)


# Rules for ops that take none by `spec=`.
_SPECS: dict[str, Callable[..., Any]] = {"get_item": _get_item_spec}
