"""Makers of thin functions: TF's signature around a function of `fastkeras.ops`.

Each kind differs in the names of its arguments only. The result has the name of the TF function and says in its
docstring what it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._shape import axes_arg, on_host
from fastkeras.core.dtypes import is_int_dtype

Op = Callable[..., Any]


def unary(op: Op, name: str | None = None) -> Callable[..., Tensor]:
    """`f(x, name=None)`."""
    called = name

    def adapter(x: Any, name: str | None = None) -> Tensor:
        return op(x)

    return _described(adapter, op, called)


def activation(op: Op, name: str | None = None) -> Callable[..., Tensor]:
    """`f(features, name=None)`."""
    called = name

    def adapter(features: Any, name: str | None = None) -> Tensor:
        return op(features)

    return _described(adapter, op, called)


def binary(op: Op, name: str | None = None) -> Callable[..., Tensor]:
    """`f(x, y, name=None)`."""
    called = name

    def adapter(x: Any, y: Any, name: str | None = None) -> Tensor:
        return op(x, y)

    return on_host(_described(adapter, op, called))


def reduction(op: Op, name: str, keep_integers: bool = False) -> Callable[..., Tensor]:
    """`f(input_tensor, axis=None, keepdims=False, name=None)`.

    Args:
        op: function of a tensor, axes and keepdims.
        name: TF's.
        keep_integers: whether the result has the type of an integer input, as all of TF's have.
    """
    called = name

    def adapter(
        input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
    ) -> Tensor:
        out = op(input_tensor, axes_arg(axis), bool(keepdims))
        if keep_integers:
            dtype = ops.dtype(input_tensor)
            if dtype != out.dtype and is_int_dtype(dtype):
                return ops.cast(out, dtype)
        return out

    return on_host(_described(adapter, op, called))


def arguments(op: Op, name: str, *parameters: str) -> Callable[..., Tensor]:
    """`f(a, b, ..., name=None)` with the given parameter names, passed on by position."""
    import inspect

    kinds = inspect.Parameter
    signature = inspect.Signature(
        [kinds(p, kinds.POSITIONAL_OR_KEYWORD) for p in parameters]
        + [kinds("name", kinds.POSITIONAL_OR_KEYWORD, default=None)]
    )

    def adapter(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs or len(args) != len(parameters):
            args = signature.bind(*args, **kwargs).args[: len(parameters)]
        return op(*args)

    adapter.__signature__ = signature  # type: ignore[attr-defined]
    return _described(adapter, op, name)


def _described(adapter: Callable[..., Tensor], op: Op, name: str | None) -> Callable[..., Tensor]:
    summary = (op.__doc__ or "").strip().split("\n")[0]
    home = "fastkeras.ops" if op.__module__.startswith("fastkeras.ops") else op.__module__
    adapter.__name__ = adapter.__qualname__ = name or op.__name__
    adapter.__doc__ = f"{summary} See `{home}.{op.__name__}`."
    return adapter


def pick(options: Sequence[str], value: str, what: str) -> str:
    """Returns `value` if it is among the options.

    Raises:
        ValueError: if it is not.
    """
    if value not in options:
        raise ValueError(f"{what} is {value!r}. Expected {' or '.join(repr(o) for o in options)}.")
    return value
