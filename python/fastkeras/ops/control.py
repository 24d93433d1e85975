"""Control flow: branches and loops that a tensor's value decides, and gradients of one's own.

The functions given are recorded once, as bodies of one node of the graph (`csrc/ops/control.cpp`), also in
eager code. A function that cannot be recorded, because it asks for values, runs as plain Python there.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.dtypes import result_type
from fastkeras.core.operation import Operation
from fastkeras.core.symbolic import compute_output_spec
from fastkeras.ops._common import (
    Cell,
    Function,
    KerasTensor,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    call,
    cut,
    join,
    reshape,
    symbolic_op,
)


class _Recorded:
    """A body: the trace, its results as tensors, and how they are nested."""

    __slots__ = ("trace", "leaves", "structure")

    def __init__(
        self, f: Callable[..., Any], types: Sequence[tuple[Any, str]], unpack: Callable[..., Any]
    ) -> None:
        self.trace = _engine.Trace(getattr(f, "__name__", "body"), body=True)
        with self.trace:
            inputs = [self.trace.input(shape, dtype) for shape, dtype in types]
            self.structure = unpack(f, inputs)
            self.leaves = [as_tensor(x) for x in _leaves(self.structure)]

    @property
    def pair(self) -> tuple[Any, list[Tensor]]:
        return self.trace, self.leaves


def _leaves(structure: Any) -> list[Any]:
    return [x for x in tree.flatten(structure) if x is not None]


def _places(structure: Any) -> list[Any]:
    """Where the tensors are in a nest, whatever the containers are."""
    return [path for path, x in tree.flatten_with_path(structure) if x is not None]


def _pack(structure: Any, leaves: Sequence[Any]) -> Any:
    """`structure` with its leaves replaced; None stays."""
    it = iter(leaves)
    return tree.map_structure(lambda x: None if x is None else next(it), structure)


def _types(tensors: Sequence[Tensor]) -> list[tuple[Any, str]]:
    return [(t.shape, t.dtype) for t in tensors]


def _is_number(x: Any) -> bool:
    return isinstance(x, (builtins.bool, int, float))


def _takes(dtype: str, x: Any) -> bool:
    """Whether `x` is a Python number that becomes a `dtype` beside one: no fraction becomes an integer."""
    return _is_number(x) and result_type(dtype, type(x)) == dtype


def _must_run(error: BaseException) -> None:
    """In eager code a function that needs values runs as it is; in a trace there are none."""
    if _engine.in_trace():
        raise error


# ----------------------------------------------------------------------------------------------- branches


@symbolic_op
def cond(pred: TensorLike, true_fn: Function, false_fn: Function) -> Any:
    """What `true_fn()` returns if `pred` is true, else what `false_fn()` returns.

    Args:
        pred: a boolean, or a scalar tensor.
        true_fn, false_fn: functions without arguments that return the same structure, shapes and types (or
            None). In a compiled program both are recorded and one is run.

    Raises:
        ValueError: if `pred` is no scalar, or the results differ in structure, shape or type.

    Example:
        >>> x = ops.array(3.0)
        >>> ops.cond(x > 0, lambda: x * 2, lambda: -x)
        6.0
    """
    if isinstance(pred, (builtins.bool, np.bool_)):
        return true_fn() if pred else false_fn()
    pred = as_tensor(pred)
    if pred.size != 1:
        raise ValueError(f"The condition of `cond` has shape {pred.shape}; expected one boolean, a scalar.")
    index = call("cast", call("cast", reshape(pred, []), dtype="bool"), dtype="int32")
    return _switch(index, [false_fn, true_fn], [], "cond", lambda: [false_fn, true_fn][builtins.bool(pred)]())


@symbolic_op
def switch(index: TensorLike, branches: Sequence[Function], *operands: Any) -> Any:
    """Calls `branches[index]` with the operands; an index outside is moved to the nearest.

    Args:
        index: an integer scalar.
        branches: functions that return the same structure, shapes and types.
        *operands: what they are called with.

    Example:
        >>> ops.switch(1, [lambda x: x + 1, lambda x: x * 10], ops.array(2.0))
        20.0
    """
    branches = list(branches)
    if not branches:
        raise ValueError("`switch` got no branches; expected at least one function.")
    if isinstance(index, (int, np.integer)):
        return branches[builtins.min(builtins.max(int(index), 0), len(branches) - 1)](*operands)
    index = as_tensor(index)
    if index.size != 1:
        raise ValueError(f"The index of `switch` has shape {index.shape}; expected a scalar.")
    index = call("cast", reshape(index, []), dtype="int32")

    def chosen() -> Any:
        return branches[builtins.min(builtins.max(int(index), 0), len(branches) - 1)](*operands)

    return _switch(index, branches, list(operands), "switch", chosen)


def _switch(
    index: Tensor, branches: list[Function], operands: list[Any], name: str, eager: Callable[[], Any]
) -> Any:
    leaves = [as_tensor(x) for x in _leaves(operands)]

    def unpack(f: Function, inputs: list[Tensor]) -> Any:
        return f(*_pack(operands, inputs)) if operands else f()

    try:
        recorded = [_Recorded(f, _types(leaves), unpack) for f in branches]
    except _engine.TracedValueError as error:
        _must_run(error)
        return eager()
    first = recorded[0]
    names = ["false_fn", "true_fn"] if name == "cond" else [f"branch {i}" for i in range(len(branches))]
    for r, its_name in zip(recorded[1:], names[1:]):
        try:
            tree.assert_same_structure(first.structure, r.structure)
            same = _places(first.structure) == _places(r.structure)
        except (ValueError, TypeError):
            same = False
        if not same:
            raise ValueError(
                f"The functions of `{name}` return different structures: {names[0]} {_outline(first.structure)}, "
                f"{its_name} {_outline(r.structure)}. Expected the same nest of tensors from each."
            )
    _unify(recorded)
    for r, its_name in zip(recorded[1:], names[1:]):
        for i, (a, b) in enumerate(zip(first.leaves, r.leaves)):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ValueError(
                    f"The functions of `{name}` return different tensors in place {i}: {names[0]} one of shape "
                    f"{a.shape} and dtype {a.dtype}, {its_name} one of shape {b.shape} and dtype {b.dtype}. "
                    "Expected the same shape and dtype from each."
                )
    return _pack(first.structure, _engine.record_switch(index, [r.pair for r in recorded], leaves))


def _unify(recorded: list[_Recorded]) -> None:
    """Python numbers among the results take the type of what the other branches return in their place."""
    for place in range(len(recorded[0].leaves)):
        given = [_leaves(r.structure)[place] for r in recorded]
        strong = {r.leaves[place].dtype for r, x in zip(recorded, given) if not _is_number(x)}
        if len(strong) != 1:
            continue
        (dtype,) = strong
        for r, x in zip(recorded, given):
            if _takes(dtype, x):
                with r.trace:
                    r.leaves[place] = as_tensor_of(x, dtype)


def _outline(structure: Any) -> str:
    return str(tree.map_structure(lambda x: None if x is None else "*", structure))


def record_call(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`f(*args, **kwargs)` as one node whose gradient computes f again: a branch that is always taken."""
    given = [list(args), kwargs]
    is_input = [isinstance(x, (Tensor, Cell)) for x in tree.flatten(given)]
    leaves = [as_tensor(x) for x, yes in zip(tree.flatten(given), is_input) if yes]

    def unpack(f: Function, inputs: list[Tensor]) -> Any:
        it = iter(inputs)
        flat = [next(it) if yes else x for x, yes in zip(tree.flatten(given), is_input)]
        inner_args, inner_kwargs = tree.pack_sequence_as(given, flat)
        return f(*inner_args, **inner_kwargs)

    try:
        body = _Recorded(f, _types(leaves), unpack)
    except _engine.TracedValueError as error:
        _must_run(error)
        return f(*args, **kwargs)
    index = call("full", value=0.0, shape=[], dtype="int32")
    return _pack(body.structure, _engine.record_switch(index, [body.pair], leaves))


# -------------------------------------------------------------------------------------------------- loops


@symbolic_op
def while_loop(cond: Function, body: Function, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    """Runs `body` on the loop variables as long as `cond` of them is true.

    Args:
        cond: function of the loop variables that returns a boolean scalar.
        body: function of the loop variables that returns their new values, of the same shapes and types.
        loop_vars: a tensor, or a list, tuple or dict of them; lists and tuples are passed as arguments.
        maximum_iterations: the largest number of iterations. In a compiled program gradients need it.

    Example:
        >>> ops.while_loop(lambda i: i < 10, lambda i: i * 2, 1)
        16
    """
    nested = isinstance(loop_vars, (list, tuple))
    carries = [as_tensor(x) for x in _leaves(loop_vars)]
    limit = -1 if maximum_iterations is None else int(maximum_iterations)

    def apply(f: Function, structure: Any) -> Any:
        return f(*structure) if nested else f(structure)

    def step(f: Function, inputs: list[Tensor]) -> Any:
        out = apply(f, _pack(loop_vars, inputs))
        return out if not nested or isinstance(out, (list, tuple)) else (out,)

    def eager() -> Any:
        now, n = carries, 0
        while (limit < 0 or n < limit) and builtins.bool(apply(cond, _pack(loop_vars, now))):
            out = step(body, now)
            types = now if n else _widened(loop_vars, carries, out)
            now, n = _like_carries("while_loop", loop_vars, types, out), n + 1
        return _pack(loop_vars, now)

    # Without a bound there is no room to note what a gradient needs; run one by one, every iteration is.
    if limit < 0 and not _engine.in_trace() and _engine.tape_is_open():
        return eager()
    try:
        run, carries = _record_body(body, loop_vars, carries, [], step, lambda out: out)
        test = _Recorded(cond, _types(carries), lambda f, inputs: apply(f, _pack(loop_vars, inputs)))
    except _engine.TracedValueError as error:
        _must_run(error)
        return eager()
    if len(test.leaves) != 1 or test.leaves[0].size != 1:
        raise ValueError("The condition of `while_loop` must return one boolean scalar.")
    with test.trace:
        test.leaves = [call("cast", reshape(test.leaves[0], []), dtype="bool")]
    with run.trace:
        run.leaves = _like_carries("while_loop", loop_vars, carries, run.structure)
    return _pack(loop_vars, _engine.record_while(test.pair, run.pair, carries, limit))


def _record_body(
    f: Function,
    init: Any,
    carries: list[Tensor],
    slices: list[tuple[Any, str]],
    step: Callable[..., Any],
    carried: Callable[[Any], Any],
) -> tuple[_Recorded, list[Tensor]]:
    """The body of a loop, and the carries in the types with which it begins."""
    body = _Recorded(f, [*_types(carries), *slices], step)
    wider = _widened(init, carries, carried(body.structure))
    if _types(wider) == _types(carries):
        return body, carries
    return _Recorded(f, [*_types(wider), *slices], step), wider


def _widened(init: Any, carries: list[Tensor], results: Any) -> list[Tensor]:
    """The carries, those that are Python numbers in the type that the body gives them: 0 may add up floats."""
    if _places(results) != _places(init):
        return carries
    out = []
    for x, carry, result in zip(_leaves(init), carries, _leaves(results)):
        dtype = as_tensor(result).dtype
        out.append(as_tensor_of(x, dtype) if dtype != carry.dtype and _takes(dtype, x) else carry)
    return out


def _like_carries(name: str, init: Any, carries: Sequence[Tensor], structure: Any) -> list[Tensor]:
    """The results of a body as tensors of the types of what is carried."""
    if _places(structure) != _places(init):
        raise ValueError(
            f"The body of `{name}` turns carried values of the structure {_outline(init)} into "
            f"{_outline(structure)}. Expected the same structure as it was given."
        )
    out = []
    for i, (x, carry) in enumerate(zip(_leaves(structure), carries)):
        t = as_tensor_of(x, carry.dtype) if _takes(carry.dtype, x) else as_tensor(x)
        if t.shape != carry.shape or t.dtype != carry.dtype:
            raise ValueError(
                f"The body of `{name}` turns carried value {i} of shape {carry.shape} and dtype {carry.dtype} "
                f"into one of shape {t.shape} and dtype {t.dtype}. Expected the same shape and dtype: give it "
                "that shape from the start, or cast it in the body."
            )
        out.append(t)
    return out


@symbolic_op
def scan(
    f: Function,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Runs `f(carry, x)` for each slice x of `xs` along the first axis, handing on the carry.

    Args:
        f: function of a carry and a slice that returns `(new carry, y)`.
        init: the first carry, in any nest.
        xs: tensors with the same first dimension, in any nest; or None.
        length: the number of iterations; required if `xs` is None.
        reverse: whether to begin with the last slice.
        unroll: accepted for compatibility.

    Returns:
        The last carry, and all y stacked along a new first axis.

    Example:
        >>> ops.scan(lambda total, x: (total + x, total + x), 0, ops.arange(1, 5))
        (10, [1, 3, 6, 10])
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    if not isinstance(unroll, builtins.bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}")
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    carries = [as_tensor(x) for x in _leaves(init)]
    slices = [as_tensor(x) for x in _leaves(xs)]
    n = _length(slices, length)

    def step(f: Function, inputs: list[Tensor]) -> Any:
        carry, x = _pack(init, inputs[: len(carries)]), _pack(xs, inputs[len(carries) :])
        out = f(carry, x)
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise ValueError(
                f"The function of `scan` must return a pair (carry, y). Received: {_outline(out)}"
            )
        return list(out)

    try:
        inner = [(t.shape[1:], t.dtype) for t in slices]
        body, carries = _record_body(f, init, carries, inner, step, lambda out: out[0])
    except _engine.TracedValueError as error:
        _must_run(error)
        return _scan_eagerly(step, f, init, carries, slices, n, reverse)
    carry, y = body.structure
    with body.trace:
        stacked = [as_tensor(x) for x in _leaves(y)]
        body.leaves = [*_like_carries("scan", init, carries, carry), *stacked]
    out = _engine.record_scan(body.pair, carries, slices, n, builtins.bool(reverse))
    return _pack(init, out[: len(carries)]), _pack(y, out[len(carries) :])


def _length(slices: Sequence[Tensor], length: int | None) -> int:
    n = None if length is None else int(length)
    for t in slices:
        if t.ndim == 0:
            raise ValueError("Cannot scan over a scalar: expected tensors with a first dimension.")
        if n is not None and t.shape[0] != n:
            raise ValueError(
                f"The tensors scanned over have first dimension {t.shape[0]}, but {n} was expected (from "
                f"{'`length`' if length is not None else 'the first of them'})."
            )
        n = t.shape[0]
    return 0 if n is None else n


def _scan_eagerly(
    step: Callable[..., Any],
    f: Function,
    init: Any,
    carries: list[Tensor],
    slices: list[Tensor],
    n: int,
    reverse: bool,
) -> tuple[Any, Any]:
    rows: list[Any] = [None] * n
    structure: Any = None
    for k in range(n):
        i = n - 1 - k if reverse else k
        carry, structure = step(f, [*carries, *(x[i] for x in slices)])
        types = carries if k else _widened(init, carries, carry)
        carries = _like_carries("scan", init, types, carry)
        rows[i] = [as_tensor(x) for x in _leaves(structure)]
    columns = [join([reshape(t, [1, *t.shape]) for t in column], 0) for column in zip(*rows)]
    return _pack(init, carries), _pack(structure, columns)


@symbolic_op
def fori_loop(lower: TensorLike, upper: TensorLike, body_fun: Function, init_val: Any) -> Any:
    """`for i in range(lower, upper): value = body_fun(i, value)`.

    Args:
        lower, upper: the first index and the one after the last: integers, or scalar tensors. Gradients in a
            compiled program need integers.
        body_fun: function of the index (an int32 scalar) and the value.
        init_val: the first value, in any nest.

    Example:
        >>> ops.fori_loop(0, 5, lambda i, total: total + i, 0)
        10
    """
    if isinstance(lower, (int, np.integer)) and isinstance(upper, (int, np.integer)):
        n = builtins.max(int(upper) - int(lower), 0)
        index = call("add", call("iota", shape=[n], axis=0, dtype="int32"), int(lower))
        return scan(lambda value, i: (body_fun(i, value), None), init_val, index)[0]
    start, stop = as_tensor_of(lower, "int32"), as_tensor_of(upper, "int32")
    out = while_loop(
        lambda i, value: i < stop, lambda i, value: (i + 1, body_fun(i, value)), (start, init_val)
    )
    return out[1]


@symbolic_op
def associative_scan(f: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All the prefixes of `elems` combined by an associative function.

    Args:
        f: function of two structures like `elems`, associative, working on slices of any length along `axis`.
        elems: tensors of the same size along `axis`, in any nest.
        reverse: whether to combine from the end (then f gets later elements first).
        axis: the axis to scan along.

    The number of calls of `f` grows with the logarithm of the length (Blelloch, "Prefix sums and their
    applications", 1990).

    Example:
        >>> ops.associative_scan(ops.add, ops.arange(1, 6))
        [1, 3, 6, 10, 15]
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    tensors = [as_tensor(x) for x in tree.flatten(elems)]
    axis = axis + tensors[0].ndim if axis < 0 else axis
    sizes = {t.shape[axis] for t in tensors}
    if len(sizes) != 1:
        raise ValueError(
            "Array inputs to associative_scan must have the same first dimension. "
            f"(saw: {[t.shape for t in tensors]})"
        )

    def part(t: Tensor, start: int, stop: int, step: int = 1) -> Tensor:
        return cut(t, axis, start, stop, step)

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        out = f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b))
        return [as_tensor(x) for x in tree.flatten(out)]

    def interleave(even: Tensor, odd: Tensor) -> Tensor:
        # Pairs side by side along a new axis after `axis`, then flattened; the last even one has no partner.
        k = odd.shape[axis]
        wide = [*even.shape[:axis], k, 1, *even.shape[axis + 1 :]]
        pairs = join([reshape(part(even, 0, k), wide), reshape(odd, wide)], axis + 1)
        flat = reshape(pairs, [*even.shape[:axis], 2 * k, *even.shape[axis + 1 :]])
        return flat if even.shape[axis] == k else join([flat, part(even, k, k + 1)], axis)

    def prefixes(x: list[Tensor]) -> list[Tensor]:
        n = x[0].shape[axis]
        if n < 2:
            return x
        odd = prefixes(combine([part(t, 0, n - 1, 2) for t in x], [part(t, 1, n, 2) for t in x]))
        k = (n - 1) // 2
        even = [part(t, 0, 1) for t in x]
        if k:
            later = combine([part(t, 0, k) for t in odd], [part(t, 2, n, 2) for t in x])
            even = [join([a, b], axis) for a, b in zip(even, later)]
        return [interleave(a, b) for a, b in zip(even, odd)]

    def flip(x: list[Tensor]) -> list[Tensor]:
        return [call("reverse", t, axes=[axis]) for t in x]

    if reverse:
        return tree.pack_sequence_as(elems, flip(prefixes(flip(tensors))))
    return tree.pack_sequence_as(elems, prefixes(tensors))


# --------------------------------------------------------------------------------------- custom gradients


def custom_gradient(f: Function) -> Function:
    """Gives a function a gradient of one's own.

    Args:
        f: a function of tensors that returns `(result, grad)`, where `grad(*upstream)` takes the gradient of each
            result and returns that of each argument (None for none).

    Example:
        @ops.custom_gradient
        def log1pexp(x):
            e = ops.exp(x)

            def grad(upstream):
                return upstream * (1 - 1 / (1 + e))   # finite where exp(x) is not

            return ops.log(1 + e), grad
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, KerasTensor) for x in tree.flatten((args, kwargs))):
            return CustomGradient(wrapped)(*args, **kwargs)
        given = tree.map_structure(
            lambda x: as_tensor(x) if isinstance(x, (Tensor, Cell, np.ndarray, np.generic)) else x, list(args)
        )
        inputs = [x for x in tree.flatten(given) if isinstance(x, Tensor)]
        result, grad = f(*given, **kwargs)
        outputs = [as_tensor(x) for x in _leaves(result)]

        def backward(g: Function, upstream: list[Tensor]) -> Any:
            grads = g(*upstream)
            flat = tree.flatten(grads) if isinstance(grads, (list, tuple, dict)) else [grads]
            if len(flat) != len(inputs):
                raise ValueError(
                    f"The gradient function of {getattr(f, '__name__', 'custom_gradient')!r} returns {len(flat)} "
                    f"gradients for {len(inputs)} tensor arguments; expected one each (None for none)."
                )
            return [
                call("full", value=0.0, shape=list(x.shape), dtype=x.dtype) if dx is None else dx
                for dx, x in zip(flat, inputs)
            ]

        body = _Recorded(grad, _types(outputs), backward)
        return _pack(result, _engine.record_custom_gradient(outputs, inputs, body.pair))

    return wrapped


class CustomGradient(Operation):
    """A call of a function with a gradient of its own in a functional graph.

    Args:
        function: what `custom_gradient` returned.
        name: default made from the class name.
    """

    def __init__(self, function: Function, name: str | None = None) -> None:
        super().__init__(name=name)
        self.function = function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return compute_output_spec(self.function, *args, **kwargs)
