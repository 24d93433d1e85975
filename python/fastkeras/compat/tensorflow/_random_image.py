"""Random changes of images, in two forms each: with a `seed` number, and `stateless_...` with a seed of two."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastkeras import ops
from fastkeras import random as _random
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow import _colour
from fastkeras.compat.tensorflow._shape import shape_arg
from fastkeras.compat.tensorflow.random import key_of, op_seed

# ------------------------------------------------------------------------------------------------- flips


def _flip(image: Any, axis: int, key: Any) -> Tensor:
    """Each image of a batch is flipped or not by itself."""
    shape = ops.shape(image)
    batch = shape[: len(shape) - 3]
    draw = ops.less(_random.uniform([*batch, 1, 1, 1], seed=key), 0.5)
    return ops.where(draw, ops.flip(image, axis), image)


def random_flip_left_right(image: Any, seed: int | None = None) -> Tensor:
    """Mirrors images, each with a chance of one half."""
    return _flip(image, -2, op_seed(seed))


def random_flip_up_down(image: Any, seed: int | None = None) -> Tensor:
    """Turns images upside down, each with a chance of one half."""
    return _flip(image, -3, op_seed(seed))


def stateless_random_flip_left_right(image: Any, seed: Any) -> Tensor:
    """`tf.image.random_flip_left_right`, the same for the same seed."""
    return _flip(image, -2, key_of(seed))


def stateless_random_flip_up_down(image: Any, seed: Any) -> Tensor:
    """`tf.image.random_flip_up_down`, the same for the same seed."""
    return _flip(image, -3, key_of(seed))


# ------------------------------------------------------------------------------------------------- crops


def _crop(value: Any, size: Any, key: Any) -> Tensor:
    sizes, shape = shape_arg(size, "size"), ops.shape(value)
    sizes = [d if s == -1 else s for s, d in zip(sizes, shape)]
    if len(sizes) != len(shape) or any(s > d for s, d in zip(sizes, shape)):
        raise ValueError(
            f"tf.image.random_crop got size={sizes} for a tensor of shape {tuple(shape)}. Expected as many sizes as "
            "dimensions, none larger. Resize or pad first."
        )
    room = [d - s + 1 for d, s in zip(shape, sizes)]
    share = _random.uniform([len(room)], seed=key)
    starts = ops.cast(ops.floor(share * ops.cast(room, "float32")), "int32")
    return ops.slice(value, starts, sizes)


def random_crop(value: Any, size: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """A part of the given shape, from anywhere in a tensor."""
    return _crop(value, size, op_seed(seed))


def stateless_random_crop(value: Any, size: Any, seed: Any, name: str | None = None) -> Tensor:
    """`tf.image.random_crop`, the same for the same seed."""
    return _crop(value, size, key_of(seed))


# ----------------------------------------------------------------------------------------------- colours


def _between(low: Any, high: Any, key: Any) -> Tensor:
    return _random.uniform([], float(low), float(high), seed=key)


def _check_delta(max_delta: float, what: str, most: float = math.inf) -> float:
    if not 0 <= max_delta <= most:
        upper = "" if most == math.inf else f" and up to {most}"
        raise ValueError(
            f"tf.image.{what} got max_delta={max_delta}. Expected a number of at least 0{upper}."
        )
    return max_delta


def _check_range(lower: float, upper: float, what: str) -> None:
    if not 0 <= lower < upper:
        raise ValueError(f"tf.image.{what} got lower={lower}, upper={upper}. Expected 0 <= lower < upper.")


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """Adds a random number between -max_delta and max_delta."""
    d = _check_delta(max_delta, "random_brightness")
    return _colour.adjust_brightness(image, _between(-d, d, op_seed(seed)))


def stateless_random_brightness(image: Any, max_delta: float, seed: Any) -> Tensor:
    """`tf.image.random_brightness`, the same for the same seed."""
    d = _check_delta(max_delta, "stateless_random_brightness")
    return _colour.adjust_brightness(image, _between(-d, d, key_of(seed)))


def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """Moves the hue by a random number between -max_delta and max_delta."""
    d = _check_delta(max_delta, "random_hue", 0.5)
    return _colour.adjust_hue(image, _between(-d, d, op_seed(seed)))


def stateless_random_hue(image: Any, max_delta: float, seed: Any) -> Tensor:
    """`tf.image.random_hue`, the same for the same seed."""
    d = _check_delta(max_delta, "stateless_random_hue", 0.5)
    return _colour.adjust_hue(image, _between(-d, d, key_of(seed)))


def _by_factor(
    name: str, adjust: Callable[[Any, Any], Tensor]
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    def with_seed(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
        _check_range(lower, upper, f"random_{name}")
        return adjust(image, _between(lower, upper, op_seed(seed)))

    def stateless(image: Any, lower: float, upper: float, seed: Any) -> Tensor:
        _check_range(lower, upper, f"stateless_random_{name}")
        return adjust(image, _between(lower, upper, key_of(seed)))

    with_seed.__name__ = with_seed.__qualname__ = f"random_{name}"
    with_seed.__doc__ = f"`tf.image.adjust_{name}` by a random factor between `lower` and `upper`."
    stateless.__name__ = stateless.__qualname__ = f"stateless_random_{name}"
    stateless.__doc__ = f"`tf.image.random_{name}`, the same for the same seed."
    return with_seed, stateless


random_contrast, stateless_random_contrast = _by_factor("contrast", _colour.adjust_contrast)
random_saturation, stateless_random_saturation = _by_factor("saturation", _colour.adjust_saturation)
