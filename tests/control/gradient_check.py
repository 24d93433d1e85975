"""Gradients against central differences in float64, along one random direction; second order as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastkeras as keras
import numpy as np
from fastkeras import ops, tree

# Two central differences with steps h and h/2 are combined so that the error is of order h**4 (Richardson): with
# h = 1e-3 about 1e-12 times the fifth derivative, and rounding adds 1e-16 / h = 1e-13. The values here and their
# derivatives are of size 1 to 100, so 1e-7 leaves a margin of 1000; a wrong gradient is off by far more.
_STEP = 1e-3
_TOLERANCE = 1e-7


def _weighted(outputs: Any, seed: int) -> Any:
    """The sum of all floating elements of the outputs, each times a random number."""
    rng = np.random.default_rng(seed)
    total = ops.zeros((), "float64")
    for t in tree.flatten(outputs):
        if t is not None and "float" in t.dtype:
            total = total + ops.sum(ops.cast(t, "float64") * rng.uniform(0.5, 1.5, tuple(t.shape)))
    return total


def gradient_of(f: Callable[..., Any], seed: int) -> Callable[..., list[Any]]:
    """A function that returns the gradients of the weighted outputs of f, zeros where nothing connects."""

    def gradient(*tensors: Any) -> list[Any]:
        with keras.GradientTape() as tape:
            tape.watch(list(tensors))
            y = _weighted(f(*tensors), seed)
        return tape.gradient(y, list(tensors), unconnected_gradients="zero")

    return gradient


def _slope(g: Callable[[float], float]) -> float:
    coarse, fine = ((g(h) - g(-h)) / (2 * h) for h in (_STEP, _STEP / 2))
    return (4 * fine - coarse) / 3


def _close(got: float, expected: float, scale: float, what: str) -> None:
    bound = _TOLERANCE * (abs(expected) + scale + 1)
    assert abs(got - expected) <= bound, f"{what}: {got}, differences give {expected}, bound {bound:.3g}"


def check_gradients(
    f: Callable[..., Any], arrays: Sequence[np.ndarray], traced: bool = False, order: int = 2, seed: int = 0
) -> None:
    """Compares the gradients of `f` by each of `arrays`, and those of these, with differences."""
    rng = np.random.default_rng(seed + 1)
    arrays = [np.asarray(a, np.float64) for a in arrays]
    directions = [rng.uniform(-1, 1, a.shape) for a in arrays]
    wrap = keras.function if traced else lambda g: g
    first = gradient_of(f, seed)

    def tensors(t: float) -> list[Any]:
        return [ops.convert_to_tensor(a + t * d) for a, d in zip(arrays, directions)]

    value = wrap(lambda *x: _weighted(f(*x), seed))
    expected = _slope(lambda t: float(value(*tensors(t))))
    found = [g.numpy() for g in wrap(first)(*tensors(0))]
    assert [g.shape for g in found] == [a.shape for a in arrays]
    products = [g * d for g, d in zip(found, directions)]
    scale = sum(float(np.abs(p).sum()) for p in products)
    _close(sum(float(p.sum()) for p in products), expected, scale, "first order")
    if order < 2:
        return

    def along(*x: Any) -> Any:
        return sum(ops.sum(g * d) for g, d in zip(first(*x), directions))

    def second(*x: Any) -> list[Any]:
        with keras.GradientTape() as tape:
            tape.watch(list(x))
            y = along(*x)
        return tape.gradient(y, list(x), unconnected_gradients="zero")

    slope = wrap(along)
    expected = _slope(lambda t: float(slope(*tensors(t))))
    found = [g.numpy() for g in wrap(second)(*tensors(0))]
    products = [g * d for g, d in zip(found, directions)]
    scale = sum(float(np.abs(p).sum()) for p in products)
    _close(sum(float(p.sum()) for p in products), expected, scale, "second order")
