"""Nearest-neighbour upsampling of any number of axes, for the upsampling layers."""

from __future__ import annotations

from typing import Any

from fastkeras import ops


def repeat_axes(inputs: Any, axes: tuple[int, ...], counts: tuple[int, ...]) -> Any:
    """Repeats every slice along each of `axes` as often as `counts` says.

    All axes at once: the values are broadcast along new axes and written once, in one pass over memory, and
    the gradient is one reduction. Repeating axis by axis would gather and scatter.
    """
    shape = tuple(inputs.shape)
    wide: list[int] = []
    target: list[int] = []
    for axis, size in enumerate(shape):
        wide.append(size)
        target.append(size)
        if axis in axes:
            wide.append(1)
            target.append(counts[axes.index(axis)])
    final = tuple(n * counts[axes.index(i)] if i in axes else n for i, n in enumerate(shape))
    return ops.reshape(ops.broadcast_to(ops.reshape(inputs, tuple(wide)), tuple(target)), final)


def scaled_shape(
    shape: tuple[int | None, ...], axes: tuple[int, ...], counts: tuple[int, ...]
) -> tuple[int | None, ...]:
    """`shape` after `repeat_axes`, unknown sizes staying unknown."""
    result = list(shape)
    for axis, count in zip(axes, counts, strict=True):
        if result[axis] is not None:
            result[axis] *= count
    return tuple(result)
