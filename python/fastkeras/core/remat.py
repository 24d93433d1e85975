"""`remat` and `RematScope`: requests to recompute activations instead of keeping them.

The engine plans the memory of a whole training step itself and does not take such requests; code that makes
them runs with the same results, and is told so once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from fastkeras.core.global_state import state

_F = TypeVar("_F", bound=Callable[..., Any])
_MODES = (None, "full", "activations", "larger_than", "list_of_layers")
_told = False


class RematMode(NamedTuple):
    """The settings of the innermost `RematScope`."""

    mode: str | None
    output_size_threshold: int
    layer_names: list[str]


def _tell() -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "Rematerialization has no effect in fastkeras: the engine plans the memory of a training step "
            "itself. Results are the same as without it.",
            stacklevel=3,
        )


class RematScope:
    """Context manager that asks for rematerialization of the layers created inside it; without effect here.

    Args:
        mode: None, "full", "activations", "larger_than" or "list_of_layers".
        output_size_threshold: least size of outputs for "larger_than".
        layer_names: names for "list_of_layers".

    Raises:
        ValueError: for another mode.
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
        if self.mode is not None:
            _tell()
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
    """Returns a function that computes what `f` computes; the request to recompute is without effect here.

    Args:
        f: the function.
    """

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        _tell()
        return f(*args, **kwargs)

    return wrapper  # type: ignore[return-value]
