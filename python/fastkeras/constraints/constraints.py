"""The built-in constraints: bounds on the norms of a weight's vectors, and non-negativity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras.constraints.constraint import Constraint


class MaxNorm(Constraint):
    """Scales down the vectors along `axis` whose norm is above `max_value`.

    `axis` is the dimension (or dimensions) along which a vector lies: 0 for the weights of one `Dense` unit,
    `[0, 1, 2]` for one filter of a `Conv2D`.
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        from fastkeras import ops

        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (_epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Replaces negative weights by zero."""

    def __call__(self, w: Any) -> Any:
        from fastkeras import ops

        return ops.maximum(w, ops.zeros_like(w))


class UnitNorm(Constraint):
    """Scales the vectors along `axis` to norm 1."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (_epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Moves the norms of the vectors along `axis` into `[min_value, max_value]`.

    `rate` in `[0, 1]` is how much of the way a vector goes per step: with 1.0 the norms are always inside.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        from fastkeras import ops

        norms = _norms(w, self.axis)
        wanted = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1.0 - self.rate) * norms
        return w * (wanted / (_epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w: Any, axis: int | Sequence[int]) -> Any:
    from fastkeras import ops

    axes = axis if isinstance(axis, int) else tuple(axis)
    return ops.sqrt(ops.sum(ops.square(w), axis=axes, keepdims=True))


def _epsilon() -> float:
    from fastkeras.core.config import epsilon

    return epsilon()
