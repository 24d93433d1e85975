"""The base class of weight and activity regularizers."""

from __future__ import annotations

import math
from typing import Any


class Regularizer:
    """Computes a penalty, a scalar added to the loss, from a weight or from a layer's output.

    Subclasses implement `__call__(x)` and `get_config()`.

    Example:

    ```python
    class L3(fastkeras.regularizers.Regularizer):
        def __call__(self, x):
            return 0.01 * fastkeras.ops.sum(fastkeras.ops.abs(x) ** 3)

        def get_config(self):
            return {}
    ```
    """

    def __call__(self, x: Any) -> Any:
        """Returns the penalty of `x`, a scalar tensor."""
        raise NotImplementedError(f"The regularizer {type(self).__name__} does not implement `__call__(x)`.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """Builds a regularizer from what `get_config` returned."""
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as a JSON-friendly dictionary."""
        raise NotImplementedError(
            f"The regularizer {type(self).__name__} does not implement `get_config()`, which saving needs."
        )


def checked_factor(value: Any, name: str, default: float) -> float:
    """`value` as a float >= 0 (None: `default`); a ValueError naming the argument otherwise."""
    if value is None:
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, str) or not math.isfinite(number) or number < 0.0:
        raise ValueError(f"`{name}` must be a finite number >= 0. Received: {name}={value!r}")
    return number
