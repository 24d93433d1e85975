"""What initializers share: checking a shape, drawing random numbers on the host, handing an array to the
engine.

Values are drawn with NumPy's Philox generator rather than with engine operations: it is counter based (the
same seed gives the same weights on every device), needs no compilation, and a model's weights are drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.dtypes import standardize_dtype

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """`shape` as a tuple of ints; a ValueError if a dimension is unknown or negative."""
    try:
        dims = tuple(int(d) for d in shape)
    except TypeError:
        raise ValueError(
            f"An initializer needs a fully known shape, a sequence of integers. Received: shape={shape!r}"
        ) from None
    if any(d < 0 for d in dims):
        raise ValueError(f"An initializer needs dimensions >= 0. Received: shape={dims}")
    return dims


def to_tensor(array: np.ndarray, dtype: str | None) -> Any:
    """`array` as a tensor of `dtype` (None: the default float type)."""
    # The reshape keeps scalars scalar: ascontiguousarray makes them one-dimensional.
    return _engine.tensor(np.ascontiguousarray(array).reshape(array.shape), resolve_dtype(dtype))


def resolve_dtype(dtype: str | None) -> str:
    """The name of `dtype`, or of the default float type."""
    return standardize_dtype(dtype)


def float_dtype(dtype: str | None, name: str) -> str:
    """Like `resolve_dtype`, refusing types that are not floating point."""
    resolved = resolve_dtype(dtype)
    if resolved not in _FLOATS:
        raise ValueError(
            f"The initializer {name} draws floating-point numbers. Received: dtype={resolved}, "
            f"expected one of {', '.join(_FLOATS)}."
        )
    return resolved


def host_generator(seed: Any) -> np.random.Generator:
    """A Philox generator keyed by `seed`: an int, or a SeedGenerator, which advances."""
    if isinstance(seed, int):
        key = seed & 0xFFFFFFFFFFFFFFFF
    else:
        low, high = (int(v) for v in np.asarray(seed.next()))
        key = low | high << 32 | 1 << 64
    return np.random.Generator(np.random.Philox(key=key))


def truncated_normal(generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Standard normal numbers, redrawn where they lie outside [-2, 2]."""
    count = math.prod(shape)
    kept = np.empty(count, dtype)
    filled = 0
    while filled < count:
        # 95.4 percent of the draws survive; a little slack makes a second round rare.
        draw = generator.standard_normal(int((count - filled) * 1.06) + 16, dtype=dtype)
        draw = draw[np.abs(draw) <= 2.0][: count - filled]
        kept[filled : filled + draw.size] = draw
        filled += draw.size
    return kept.reshape(shape)
