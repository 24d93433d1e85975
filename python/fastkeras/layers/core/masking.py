"""A layer that masks time steps whose features all have one value."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.layer import Layer


class Masking(Layer):
    """Masks the time steps at which every feature equals `mask_value`, for the layers that follow.

    The masked steps are set to zero in the output, and the mask (True: use this step) travels along with it.

    Shapes: `(batch, steps, features)` -> the same.

    Example:

    ```python
    x = numpy.ones((2, 10, 8), "float32")
    x[:, 7:] = 0.0
    fastkeras.layers.LSTM(32)(fastkeras.layers.Masking(mask_value=0.0)(x))  # ignores steps 7, 8 and 9
    ```
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        kept = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(inputs, ops.cast(kept, inputs.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
