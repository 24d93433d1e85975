"""Checks of constructor arguments that many layers share: sizes, padding names, axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastkeras.core.keras_tensor import KerasTensor

PADDINGS = ("valid", "same")


def standardize_tuple(value: Any, n: int, name: str, *, minimum: int = 1) -> tuple[int, ...]:
    """`value`, an int or `n` ints, as a tuple of `n` ints that are all >= `minimum`.

    Raises:
        ValueError: naming the argument `name`.
    """
    wanted = f"`{name}` must be an integer >= {minimum} or a tuple of {n} of them"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        result = (int(value),) * n
    else:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"{wanted}. Received: {name}={value!r}")
        items = tuple(value)
        if len(items) != n:
            raise ValueError(f"{wanted}. Received: {name}={value!r}, which has {len(items)} values.")
        try:
            result = tuple(int(v) for v in items)
        except (TypeError, ValueError):
            raise ValueError(f"{wanted}. Received: {name}={value!r}") from None
        if any(isinstance(v, float) and v != r for v, r in zip(items, result, strict=True)):
            raise ValueError(f"{wanted}. Received: {name}={value!r}")
    if any(v < minimum for v in result):
        raise ValueError(f"{wanted}. Received: {name}={value!r}")
    return result


def standardize_pairs(value: Any, n: int, name: str) -> tuple[tuple[int, int], ...]:
    """`value` as `n` pairs (before, after): from one int, `n` ints or `n` pairs.

    Raises:
        ValueError: naming the argument `name`.
    """
    forms = f"an integer, a tuple of {n} integers, or a tuple of {n} pairs of integers (before, after)"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return ((int(value), int(value)),) * n
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"`{name}` must be {forms}. Received: {name}={value!r}")
    items = tuple(value)
    if len(items) != n:
        raise ValueError(
            f"`{name}` must be {forms}. Received: {name}={value!r}, which has {len(items)} values."
        )
    return tuple(standardize_tuple(item, 2, f"{name}[{i}]", minimum=0) for i, item in enumerate(items))


def standardize_padding(value: Any, allowed: tuple[str, ...] = PADDINGS) -> str:
    """`value` in lower case, one of `allowed`; a ValueError otherwise."""
    padding = value.lower() if isinstance(value, str) else value
    if padding not in allowed:
        raise ValueError(f"`padding` must be one of {allowed}. Received: padding={value!r}")
    return padding


def standardize_axes(axis: Any, name: str = "axis") -> list[int]:
    """`axis`, an int or several, as a list of ints; a TypeError otherwise."""
    if isinstance(axis, (int, np.integer)) and not isinstance(axis, bool):
        return [int(axis)]
    if isinstance(axis, (list, tuple)) and all(isinstance(a, (int, np.integer)) for a in axis):
        return [int(a) for a in axis]
    raise TypeError(f"`{name}` must be an integer or a list or tuple of integers. Received: {name}={axis!r}")


def canonical_axis(axis: int, ndim: int, layer: str) -> int:
    """`axis` counted from the front; a ValueError if a tensor of `ndim` dimensions has no such axis."""
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"{layer}: axis={axis} is out of range for an input of {ndim} dimensions. "
            f"Expected a value from {-ndim} to {ndim - 1}."
        )
    return axis + ndim if axis < 0 else axis


def positive_int(value: Any, name: str, layer: str) -> int:
    """`value` as an int > 0; a ValueError naming the argument and the layer otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
        raise ValueError(f"{layer}: `{name}` must be a positive integer. Received: {name}={value!r}")
    return int(value)


def refuse_quantization(layer: str, **given: Any) -> None:
    """Raises if an argument of low-rank adaptation or quantization is set.

    They are accepted in signatures, so that configurations written by Keras load, and not implemented.
    """
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(
                f"{layer}: low-rank adaptation and quantization of layers are a missing capability of "
                f"fastkeras. Received: {name}={value!r}. Leave this argument at None."
            )


def refuse_lora(layer: str) -> None:
    """What `enable_lora` of every layer does."""
    raise NotImplementedError(
        f"{layer}.enable_lora: low-rank adaptation is a missing capability of fastkeras."
    )


def spatial_axes(data_format: str, rank: int) -> tuple[int, ...]:
    """The axes that hold space in a batch of `rank`-dimensional inputs."""
    first = 1 if data_format == "channels_last" else 2
    return tuple(range(first, first + rank))


def window_output_length(
    length: int | None, window: int, stride: int, padding: str, dilation: int = 1
) -> int | None:
    """How many positions a window takes along one axis of `length` (None: not known)."""
    if length is None:
        return None
    if padding in ("same", "causal"):
        return -(-length // stride)
    return (length - dilation * (window - 1) - 1) // stride + 1


def same_dtype_spec(layer: Any, inputs: Any) -> Any:
    """What `compute_output_spec` of a layer gives that moves values about: the output has the input's type.

    The default takes the layer's compute type, which is wrong for integers: layers convert only floats to it.
    """
    return KerasTensor(layer.compute_output_shape(tuple(inputs.shape)), dtype=inputs.dtype)
