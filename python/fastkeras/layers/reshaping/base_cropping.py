"""What the cropping layers share."""

from __future__ import annotations

from typing import Any

from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import same_dtype_spec, spatial_axes
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BaseCropping(Layer):
    """Cuts positions off the spatial dimensions; `pairs` says how many before and after each."""

    def __init__(
        self, pairs: tuple[tuple[int, int], ...], data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        rank = len(pairs)
        self.cropping: Any = pairs if rank > 1 else pairs[0]
        self.input_spec = InputSpec(ndim=rank + 2)
        self._pairs = pairs
        self._axes = spatial_axes(self.data_format, rank)

    def call(self, inputs: Any) -> Any:
        shape = tuple(inputs.shape)
        self._check(shape)
        index = [slice(None)] * len(shape)
        for axis, (before, after) in zip(self._axes, self._pairs, strict=True):
            index[axis] = slice(before, shape[axis] - after)
        return inputs[tuple(index)]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check(input_shape)
        shape = list(input_shape)
        for axis, (before, after) in zip(self._axes, self._pairs, strict=True):
            if shape[axis] is not None:
                shape[axis] -= before + after
        return tuple(shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        return same_dtype_spec(self, inputs)

    def _check(self, shape: tuple[int | None, ...]) -> None:
        for axis, pair in zip(self._axes, self._pairs, strict=True):
            length = shape[axis]
            if length is not None and sum(pair) >= length:
                raise ValueError(
                    f"{type(self).__name__}: cropping {pair} leaves nothing of axis {axis} of an input of "
                    f"shape {tuple(shape)}. The sum of the two must be below {length}."
                )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping, "data_format": self.data_format}
