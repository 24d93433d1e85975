"""What the layers that draw random numbers in training share."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.layer import Layer


class RandomLayer(Layer):
    """A layer that changes its input at random in training, and only there. Subclasses implement `_apply`.

    Args:
        amount: how much to change; with 0 the layer does nothing and has no generator.
        seed: int or None.
    """

    def __init__(self, amount: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._amount = amount
        self.seed = seed
        if amount > 0:
            from fastkeras.random.seed_generator import SeedGenerator

            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self._apply(inputs) if training and self._amount > 0 else inputs

    def _apply(self, inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_apply(inputs)`.")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def checked_rate(value: Any, name: str, layer: str) -> float:
    """`value` if it lies in [0, 1]; a ValueError naming the argument and the layer otherwise."""
    if isinstance(value, (str, bool)) or not 0 <= value <= 1:
        raise ValueError(f"{layer}: `{name}` must be a number from 0 to 1. Received: {name}={value!r}")
    return value


def checked_noise_shape(shape: Any, layer: str) -> tuple[int | None, ...] | None:
    """`shape` as a tuple of positive ints and Nones, or None; a ValueError otherwise."""
    if shape is None:
        return None
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        raise ValueError(
            f"{layer}: `noise_shape` must be a tuple of positive integers and Nones. Received: "
            f"noise_shape={shape!r}"
        )
    sizes = tuple(None if n is None else int(n) for n in shape)
    if any(n is not None and n < 1 for n in sizes):
        raise ValueError(
            f"{layer}: `noise_shape` must be a tuple of positive integers and Nones. Received: "
            f"noise_shape={sizes}"
        )
    return sizes


def full_noise_shape(
    noise_shape: tuple[int | None, ...] | None, inputs: Any, layer: str
) -> tuple[int, ...] | None:
    """`noise_shape` with the input's sizes for its Nones; a ValueError if it does not fit the input."""
    if noise_shape is None:
        return None
    shape = tuple(inputs.shape)
    if len(noise_shape) != len(shape) or any(
        n not in (None, 1, s) for n, s in zip(noise_shape, shape, strict=True)
    ):
        raise ValueError(
            f"{layer}: `noise_shape` must have one value per dimension of the input: its size, 1 or None. "
            f"Received: noise_shape={noise_shape} for an input of shape {shape}"
        )
    return tuple(s if n is None else n for n, s in zip(noise_shape, shape, strict=True))
