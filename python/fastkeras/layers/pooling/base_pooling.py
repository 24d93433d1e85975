"""What the pooling layers of one, two and three dimensions share."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import standardize_padding, standardize_tuple, window_output_length
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BasePooling(Layer):
    """The maximum ("max") or mean ("average") of windows over `pool_dimensions` spatial dimensions."""

    def __init__(
        self,
        pool_size: Any,
        strides: Any,
        pool_dimensions: int,
        pool_mode: str = "max",
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = standardize_tuple(pool_size, pool_dimensions, "pool_size")
        self.strides = standardize_tuple(
            pool_size if strides is None else strides, pool_dimensions, "strides"
        )
        self.pool_mode = pool_mode
        self.padding = standardize_padding(padding)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=pool_dimensions + 2)
        self.built = True

    def call(self, inputs: Any) -> Any:
        pool = ops.max_pool if self.pool_mode == "max" else ops.average_pool
        return pool(
            inputs,
            pool_size=self.pool_size,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        last = self.data_format == "channels_last"
        spatial = input_shape[1:-1] if last else input_shape[2:]
        lengths = tuple(
            window_output_length(n, p, s, self.padding)
            for n, p, s in zip(spatial, self.pool_size, self.strides, strict=True)
        )
        if any(n is not None and n <= 0 for n in lengths):
            raise ValueError(
                f"{type(self).__name__}: the window is larger than the input, so that the output would be "
                f"empty. Received: input_shape={tuple(input_shape)}, pool_size={self.pool_size}, "
                f"strides={self.strides}, padding={self.padding!r}. Use a smaller window, a larger input or "
                "padding='same'."
            )
        return (input_shape[0], *lengths, input_shape[-1]) if last else (*input_shape[:2], *lengths)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }
