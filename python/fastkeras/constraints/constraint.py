"""The base class of weight constraints."""

from __future__ import annotations

from typing import Any


class Constraint:
    """Projects a weight onto a set of allowed values, after every update by an optimizer.

    Subclasses implement `__call__(w)` and, when they take arguments, `get_config()`. The base class allows
    everything.

    Example:

    ```python
    class Bounded(fastkeras.constraints.Constraint):
        def __call__(self, w):
            return fastkeras.ops.clip(w, -1.0, 1.0)
    ```
    """

    def __call__(self, w: Any) -> Any:
        """Returns the nearest allowed value of `w`, of the same shape and dtype."""
        return w

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as a JSON-friendly dictionary."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """Builds a constraint from what `get_config` returned."""
        return cls(**config)
