"""`remat` and `RematScope`: activations that are computed again in the backward pass instead of being kept.

What is rematerialized is recorded as one node of the graph with a body of its own (a branch that is always taken,
see `csrc/ops/control.cpp`): its gradient computes the body again from its operands, and the temporary values of
the body take no memory between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.global_state import state

_F = TypeVar("_F", bound=Callable[..., Any])
_MODES = (None, "full", "activations", "larger_than", "list_of_layers")


class RematMode(NamedTuple):
    """The settings of the innermost `RematScope`."""

    mode: str | None
    output_size_threshold: int
    layer_names: list[str]


class RematScope:
    """Context manager: layers created inside recompute their activations in the backward pass.

    Args:
        mode: `"full"` for all layers, `"activations"` for activation functions only, `"larger_than"` for layers
            whose output has more than `output_size_threshold` elements, `"list_of_layers"` for those named in
            `layer_names`, None for none.
        output_size_threshold: least size of outputs for `"larger_than"`.
        layer_names: names for `"list_of_layers"`.

    Raises:
        ValueError: for another mode.

    Example:
        >>> with fastkeras.RematScope(mode="full"):
        ...     block = fastkeras.layers.Dense(512, activation="gelu")
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: list[str] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"Invalid mode '{mode}'. Supported modes are: {', '.join(map(repr, _MODES))}.")
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = layer_names or []
        self._outer: RematScope | None = None

    def __enter__(self) -> RematScope:
        self._outer = state.remat
        state.remat = self
        return self

    def __exit__(self, *exc: Any) -> None:
        state.remat = self._outer


def get_current_remat_mode() -> RematMode | None:
    """Returns the settings of the innermost `RematScope`, or None."""
    scope = state.remat
    return None if scope is None else RematMode(scope.mode, scope.output_size_threshold, scope.layer_names)


def remat(f: _F) -> _F:
    """Returns a function that computes what `f` computes and keeps nothing of it for the backward pass.

    The gradient computes `f` again from its arguments: less memory for more arithmetic. Functions that cannot be
    recorded because they ask for values run as they are in eager code.

    Args:
        f: a function of tensors, or of nests of them.

    Example:
        >>> cheap = fastkeras.remat(lambda x: ops.exp(ops.sin(x)))
    """

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from fastkeras.ops.control import record_call

        leaves = tree.flatten((args, kwargs))
        if not any(isinstance(x, (_engine.Tensor, _engine.Cell)) for x in leaves):
            return f(*args, **kwargs)
        return record_call(f, args, kwargs)

    return wrapper  # type: ignore[return-value]
