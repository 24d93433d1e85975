"""The base class of weight initializers.

An initializer is a small configurable callable: given a shape and a dtype it returns the first value of a
variable. It holds no state besides its configuration, so that it can be saved and rebuilt from `get_config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Initializer:
    """Computes the first value of a weight from its shape.

    Subclasses implement `__call__(shape, dtype=None)` and, when they take arguments, `get_config()`.

    Example:

    ```python
    class Ramp(fastkeras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return fastkeras.ops.reshape(fastkeras.ops.arange(math.prod(shape), dtype=dtype), shape)

    layer = fastkeras.layers.Dense(3, kernel_initializer=Ramp())
    ```
    """

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        """Returns a tensor of `shape` and `dtype` (None: the default float type)."""
        raise NotImplementedError(
            f"The initializer {type(self).__name__} does not implement `__call__(shape, dtype=None)`."
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as a JSON-friendly dictionary."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Builds an initializer from what `get_config` returned."""
        return cls(**config)

    def clone(self) -> Initializer:
        """Returns a new initializer with the same configuration (and a new seed if it had none)."""
        return type(self).from_config(self.get_config())
