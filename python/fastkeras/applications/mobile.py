"""What the MobileNets and their kin share: widths in steps of eight, and the sizes that weights exist for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras.core.config import image_data_format
from fastkeras.core.keras_tensor import is_keras_tensor


def make_divisible(value: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `value`, but none more than a tenth below it."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def rows_and_columns(shape: Sequence[int | None]) -> tuple[int | None, int | None]:
    """Returns height and width in the shape of one image."""
    start = 1 if image_data_format() == "channels_first" else 0
    return shape[start], shape[start + 1]


def square_size(shape: Sequence[int | None] | None, sizes: tuple[int, ...]) -> int | None:
    """Returns the size of a square image if it is one of `sizes`, else None."""
    if shape is None:
        return None
    rows, columns = rows_and_columns(shape)
    return rows if rows == columns and rows in sizes else None


def tensor_size(input_tensor: Any) -> tuple[int | None, ...] | None:
    """Returns the shape of one image of a batch, or None if there is no such tensor."""
    return tuple(input_tensor.shape[1:]) if is_keras_tensor(input_tensor) else None


def check_tensor_size(input_tensor: Any, input_shape: Any) -> None:
    """Checks that a tensor and a shape, if both are given, are of the same images.

    Raises:
        ValueError: if the tensor is no KerasTensor or of another size.
    """
    if input_tensor is None or input_shape is None:
        return
    if not is_keras_tensor(input_tensor):
        raise ValueError(
            f"`input_tensor` must be a KerasTensor. Received: input_tensor={input_tensor} (of type "
            f"{type(input_tensor).__name__}). Make one with `keras.Input`."
        )
    if rows_and_columns(input_tensor.shape[1:]) != rows_and_columns(input_shape):
        raise ValueError(
            f"`input_shape` must be that of `input_tensor`. Received: input_shape={tuple(input_shape)}, "
            f"input_tensor.shape={input_tensor.shape}. Leave `input_shape` out."
        )
