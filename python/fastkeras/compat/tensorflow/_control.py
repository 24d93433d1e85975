"""Control flow and calls of Python: `tf.cond`, `tf.while_loop`, `tf.map_fn`, `tf.scan`, `tf.py_function` ..."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastkeras import _engine, ops
from fastkeras._engine import Tensor
from fastkeras.core import devices as _devices
from fastkeras.core import tree
from fastkeras.core.naming import name_scope as _name_scope

Function = Callable[..., Any]


def executing_eagerly() -> bool:
    """Whether ops run as they are called; False while a function or model is traced."""
    return not _engine.in_trace()


inside_function = _engine.in_trace


# ---------------------------------------------------------------------------------------------- branches


def cond(pred: Any, true_fn: Function, false_fn: Function, name: str | None = None) -> Any:
    """What `true_fn()` returns if `pred` is true, else what `false_fn()` returns."""
    return ops.cond(pred, true_fn, false_fn)


def case(
    pred_fn_pairs: Any,
    default: Function | None = None,
    exclusive: bool = False,
    strict: bool = False,
    name: str = "case",
) -> Any:
    """The result of the first function whose condition is true.

    Args:
        pred_fn_pairs: a list of (condition, function without arguments).
        default: what is called if none is true; the last function if None.
        exclusive, strict: unused.
        name: unused.
    """
    pairs = list(pred_fn_pairs)
    if not pairs:
        raise ValueError("tf.case got no pairs. Expected at least one (condition, function).")
    otherwise = pairs[-1][1] if default is None else default
    for pred, fn in reversed(pairs[:-1] if default is None else pairs):
        otherwise = _branch(pred, fn, otherwise)
    return otherwise()


def _branch(pred: Any, fn: Function, otherwise: Function) -> Function:
    return lambda: ops.cond(pred, fn, otherwise)


def switch_case(
    branch_index: Any, branch_fns: Any, default: Function | None = None, name: str = "switch_case"
) -> Any:
    """The result of the function with the given number.

    Args:
        branch_index: an integer.
        branch_fns: a list of functions without arguments, a dict of them, or pairs (number, function).
        default: what is called for any other number; the last function if None.
        name: unused.
    """
    if isinstance(branch_fns, dict):
        numbered = sorted(branch_fns.items())
    else:
        fns = list(branch_fns)
        numbered = list(enumerate(fns)) if callable(fns[0]) else sorted((int(i), f) for i, f in fns)
    functions = [f for _, f in numbered]
    functions.append(functions[-1] if default is None else default)
    keys = [i for i, _ in numbered]
    if isinstance(branch_index, (int, np.integer)):
        return functions[keys.index(branch_index) if branch_index in keys else -1]()
    place = ops.full((), len(keys), dtype="int32")
    for i, key in enumerate(keys):
        place = ops.where(ops.equal(branch_index, key), i, place)
    return ops.switch(place, functions)


# ------------------------------------------------------------------------------------------------- loops


def while_loop(
    cond: Function,
    body: Function,
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    maximum_iterations: Any = None,
    name: str | None = None,
) -> Any:
    """Runs `body` on the loop variables as long as `cond` of them is true.

    Args:
        cond: function of the loop variables that returns a boolean.
        body: function of the loop variables that returns their new values, of the same shapes.
        loop_vars: a list or tuple of tensors, nested as may be.
        shape_invariants, parallel_iterations, back_prop, swap_memory: unused; shapes must not change.
        maximum_iterations: the largest number of iterations. Gradients inside tf.function need it.
        name: unused.
    """
    limit = None if maximum_iterations is None else int(maximum_iterations)
    return ops.while_loop(cond, body, loop_vars, limit)


def map_fn(
    fn: Function,
    elems: Any,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str | None = None,
    fn_output_signature: Any = None,
) -> Any:
    """`fn` of each element along the first dimension, the results stacked.

    Args:
        fn: function of one element.
        elems: a tensor, or a nest of tensors of equal length.
        dtype, fn_output_signature: types (or TensorSpecs) of the results, which are cast to them.
        parallel_iterations, back_prop, swap_memory, infer_shape: unused.
        name: unused.
    """
    types = fn_output_signature if fn_output_signature is not None else dtype

    def step(_: Any, x: Any) -> tuple[None, Any]:
        out = fn(x)
        if types is None:
            return None, out
        if not tree.is_nested(types):
            return None, tree.map_structure(lambda o: ops.cast(o, getattr(types, "dtype", types)), out)
        return None, tree.map_structure(lambda t, o: ops.cast(o, getattr(t, "dtype", t)), types, out)

    return ops.scan(step, None, elems)[1]


def vectorized_map(fn: Function, elems: Any, fallback_to_while_loop: bool = True, warn: bool = True) -> Any:
    """`fn` of each element along the first dimension, the results stacked; the same as `tf.map_fn`."""
    return map_fn(fn, elems)


def scan(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """All the accumulated values of `a = fn(a, x)` for x along the first dimension, stacked.

    Args:
        fn: function of the accumulated value and an element.
        elems: a tensor, or a nest of tensors of equal length.
        initializer: the first accumulated value; the first element, which is then the first result, if None.
        reverse: whether to begin at the end; results are in the order of the elements all the same.
        parallel_iterations, back_prop, swap_memory, infer_shape: unused.
        name: unused.
    """
    start, rest = _first(elems, initializer, reverse)

    def step(a: Any, x: Any) -> tuple[Any, Any]:
        a = fn(a, x)
        return a, a

    stacked = ops.scan(step, start, rest, reverse=reverse)[1]
    if initializer is not None:
        return stacked

    def join(one: Any, others: Any) -> Tensor:
        one = ops.expand_dims(one, 0)
        return ops.concatenate([others, one] if reverse else [one, others], 0)

    return tree.map_structure(join, start, stacked)


def foldl(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """The last accumulated value of `a = fn(a, x)` for x from first to last; arguments as for `tf.scan`."""
    return _fold(fn, elems, initializer, False)


def foldr(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """The last accumulated value of `a = fn(a, x)` for x from last to first; arguments as for `tf.scan`."""
    return _fold(fn, elems, initializer, True)


def _fold(fn: Function, elems: Any, initializer: Any, reverse: bool) -> Any:
    start, rest = _first(elems, initializer, reverse)
    return ops.scan(lambda a, x: (fn(a, x), None), start, rest, reverse=reverse)[0]


def _first(elems: Any, initializer: Any, reverse: bool) -> tuple[Any, Any]:
    """The first accumulated value, and the elements that follow."""
    tensors = tree.map_structure(ops.convert_to_tensor, elems)
    if initializer is not None:
        return tree.map_structure(ops.convert_to_tensor, initializer), tensors
    at, rest = (-1, slice(None, -1)) if reverse else (0, slice(1, None))
    return tree.map_structure(lambda t: t[at], tensors), tree.map_structure(lambda t: t[rest], tensors)


# ------------------------------------------------------------------------------------------- Python code


def _eager_only(name: str) -> None:
    if _engine.in_trace():
        raise NotImplementedError(
            f"{name} was called while a function or model is traced. Expected eager code: compiled programs do not "
            "call back into Python. Call it outside tf.function, or write the function with tf ops."
        )


def _typed(out: Any, types: Any) -> Any:
    if types is None or (isinstance(types, (list, tuple)) and not types):
        return None if out is None else tree.map_structure(ops.convert_to_tensor, out)
    if isinstance(types, (list, tuple)):
        results = list(out) if isinstance(out, (list, tuple)) else [out]
        return [ops.convert_to_tensor(o, t) for o, t in zip(results, types)]
    return ops.convert_to_tensor(out, types)


def py_function(func: Function, inp: Any, Tout: Any = None, name: str | None = None) -> Any:
    """Calls a Python function with tensors; in eager code only.

    Args:
        func: the function.
        inp: its arguments.
        Tout: the type of the result, or a list of types.
        name: unused.
    """
    _eager_only("tf.py_function")
    return _typed(func(*[ops.convert_to_tensor(x) for x in inp]), Tout)


def numpy_function(
    func: Function | None = None,
    inp: Any = None,
    Tout: Any = None,
    stateful: bool = True,
    name: str | None = None,
) -> Any:
    """Calls a Python function with NumPy arrays; in eager code only. Arguments as for `tf.py_function`."""
    if func is None:
        return lambda f: lambda *args: numpy_function(f, args, Tout)
    _eager_only("tf.numpy_function")
    return _typed(func(*[_plain(ops.convert_to_numpy(x)) for x in inp]), Tout)


def _plain(x: np.ndarray) -> Any:
    return x if x.ndim else x[()]


def print(
    *inputs: Any,
    output_stream: Any = None,
    summarize: int = 3,
    sep: str = " ",
    end: str = "\n",
    name: str | None = None,
) -> None:
    """Prints values, of long tensors the first and last `summarize` elements (all if -1).

    While a function is traced tensors have no values: their shape and type is printed instead, once.

    Args:
        *inputs: tensors, Python values, nests of them.
        output_stream: a file, or "file://path"; the standard error if None.
        summarize: how many elements at the ends of each dimension.
        sep, end: between the inputs and after the last.
        name: unused.
    """
    text = sep.join(_text(x, summarize) for x in inputs) + end
    if isinstance(output_stream, str) and output_stream.startswith("file://"):
        with open(output_stream.removeprefix("file://"), "a", encoding="utf-8") as f:
            f.write(text)
    else:
        (sys.stderr if output_stream is None else output_stream).write(text)


def _text(x: Any, summarize: int) -> str:
    if isinstance(x, Tensor) and x.is_traced:
        return f"<traced {x.dtype} of shape {tuple(x.shape)}>"
    if isinstance(x, (Tensor, _engine.Cell)):
        edge = summarize if summarize >= 0 else 1 << 30
        array = np.asarray(x.numpy())
        return np.array2string(array, edgeitems=edge, threshold=2 * edge if edge < 1 << 29 else sys.maxsize)
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k!r}: {_text(v, summarize)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        inside = ", ".join(_text(v, summarize) for v in x)
        return f"[{inside}]" if isinstance(x, list) else f"({inside})"
    return str(x)


def group(*inputs: Any, **kwargs: Any) -> None:
    """Nothing: everything given has been done already."""


def no_op(name: str | None = None) -> None:
    """Nothing."""


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor or a variable."""
    return isinstance(x, (Tensor, _engine.Cell))


@contextlib.contextmanager
def control_dependencies(control_inputs: Sequence[Any] | None) -> Iterator[None]:
    """A context without effect: assignments and reads always happen in the order of the code."""
    yield


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[str]:
    """A context that puts `name` before the paths of variables made in it."""
    with contextlib.ExitStack() as stack:
        for part in filter(None, str(name).split("/")):
            stack.enter_context(_name_scope(part))
        yield f"{name}/"


@contextlib.contextmanager
def device(device_name: Any) -> Iterator[None]:
    """A context in which ops run on a device if there is one of that name, else on the CPU (soft placement)."""
    try:
        context = _devices.device(device_name) if isinstance(device_name, str) else contextlib.nullcontext()
        context.__enter__()
    except (NotImplementedError, ValueError):
        context = contextlib.nullcontext()
    try:
        yield
    finally:
        context.__exit__(None, None, None)


@contextlib.contextmanager
def init_scope() -> Iterator[None]:
    """A context in which ops are eager, also while a function is traced."""
    with _engine.suspend_trace():
        yield
