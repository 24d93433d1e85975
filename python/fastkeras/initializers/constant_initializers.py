"""Initializers that draw nothing: zeros, ones, a constant, the identity matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.initializers.initializer import Initializer
from fastkeras.initializers.values import checked_shape, resolve_dtype, to_tensor


class Constant(Initializer):
    """Fills a tensor with `value`: a number, or an array that broadcasts to the asked shape.

    Example: `Constant(3.0)(shape=(2, 2))`.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        shape = checked_shape(shape)
        value = np.asarray(self.value)
        try:
            filled = np.broadcast_to(value, shape)
        except ValueError:
            raise ValueError(
                f"Constant initializer: a value of shape {value.shape} does not broadcast to the shape "
                f"{shape} of the weight. Pass a number, or an array whose shape broadcasts to it."
            ) from None
        return to_tensor(filled, dtype)

    def get_config(self) -> dict[str, Any]:
        value = self.value
        if isinstance(value, (bool, int, float, str)) or value is None:
            return {"value": value}
        from fastkeras.saving.serialization import serialize_keras_object

        return {"value": serialize_keras_object(value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constant:
        value = config["value"]
        if isinstance(value, dict):
            from fastkeras.saving.serialization import deserialize_keras_object

            value = deserialize_keras_object(value)
        return cls(value)


class Zeros(Initializer):
    """Fills a tensor with zeros. Example: `Zeros()(shape=(2, 2))`."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        return _engine.zeros(checked_shape(shape), resolve_dtype(dtype))


class Ones(Initializer):
    """Fills a tensor with ones. Example: `Ones()(shape=(2, 2))`."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        return to_tensor(np.ones(checked_shape(shape), "float32"), dtype)


class Identity(Initializer):
    """The identity matrix times `gain`. Only for two-dimensional weights.

    Example: `Identity(gain=2.0)(shape=(3, 3))`.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        shape = checked_shape(shape)
        if len(shape) != 2:
            raise ValueError(
                f"The Identity initializer makes matrices only. Received: shape={shape} of rank "
                f"{len(shape)}. Choose another initializer for this weight."
            )
        return to_tensor(np.eye(*shape, dtype="float32") * np.float32(self.gain), dtype)

    def get_config(self) -> dict[str, Any]:
        # Keras leaves `gain` out of its files; writing only what differs from the default keeps them equal.
        return {} if self.gain == 1.0 else {"gain": self.gain}


IdentityInitializer = Identity
