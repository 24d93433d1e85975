"""`tf.function`: `fastkeras.function`, which `tf.config.run_functions_eagerly` can switch off."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from fastkeras.core.traced_function import TracedFunction

_eager = False


def run_functions_eagerly(run_eagerly: bool) -> None:
    """Whether functions decorated with `tf.function` run as plain Python, for debugging."""
    global _eager
    _eager = bool(run_eagerly)


def functions_run_eagerly() -> bool:
    """What `run_functions_eagerly` was last told."""
    return _eager


class Function(TracedFunction):
    """What `tf.function` returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _eager:
            return self.python_function(*args, **kwargs)
        return TracedFunction.__call__(self, *args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None and _eager:
            return types.MethodType(self.python_function, instance)
        return TracedFunction.__get__(self, instance, owner)


def function(
    func: Callable[..., Any] | None = None,
    input_signature: Any = None,
    autograph: bool = True,
    jit_compile: bool | None = None,
    reduce_retracing: bool = False,
    **experimental: Any,
) -> Any:
    """Compiles a Python function: traced once for each signature of its arguments, then run as one program.

    Python `if` and `for` on tensors are not converted: use `tf.cond` and `tf.while_loop`. A loop over a range or a
    list is unrolled.

    Args:
        func: the function; left out, a decorator is returned.
        input_signature: TensorSpecs of the arguments.
        autograph, jit_compile: accepted for compatibility.
        reduce_retracing: silences the warning about repeated tracing.
        **experimental: arguments whose names start with `experimental_`, accepted for compatibility.
    """
    for name in experimental:
        if not name.startswith("experimental_"):
            raise TypeError(f"tf.function() got an unexpected keyword argument {name!r}")

    def decorate(f: Callable[..., Any]) -> Function:
        traced = Function(f, input_signature, reduce_retracing)
        traced._warned = bool(reduce_retracing)
        return traced

    return decorate if func is None else decorate(func)
