"""Changing shape and order: reshape, transpose, flip, roll, tile, repeat, pad, concatenate, stack, split."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras.core.global_state import state
from fastkeras.ops._common import (
    Axes,
    KerasTensor,
    Tensor,
    TensorLike,
    as_tensor,
    as_tensor_of,
    broadcast,
    call,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    count,
    cut,
    host_value,
    join,
    missing,
    same_dtype,
    symbolic_op,
)
from fastkeras.ops._common import reshape as reshape_to


def _reshape_spec(x: KerasTensor, newshape: Sequence[int] | int) -> KerasTensor:
    shape = [newshape] if isinstance(newshape, int) else [-1 if d is None else int(d) for d in newshape]
    if not isinstance(x, KerasTensor) or None not in x.shape or shape.count(-1) != 1:
        return NotImplemented
    # No size put in for an unknown dimension need be divisible as the real one is, so tracing cannot tell.
    return KerasTensor([None if d == -1 else d for d in shape], x.dtype)


@symbolic_op(spec=_reshape_spec)
def reshape(x: TensorLike, newshape: Sequence[int] | int) -> Tensor:
    """x in another shape with as many elements, read in row-major order.

    Args:
        newshape: ints, of which one may be -1 (or None): it is worked out from the others.
    """
    x = as_tensor(x)
    if isinstance(newshape, int):
        return call("reshape", x, shape=[newshape])
    shape = [-1 if d is None else int(d) for d in newshape]
    if shape.count(-1) > 1:
        raise ValueError(
            f"Only one dimension of a new shape can be unknown (-1 or None); received {newshape}."
        )
    if -1 in shape and 0 in x.shape:
        # -1 cannot be told from the number of elements, which is 0: divide the dimensions that are given.
        known = count([d for d in shape if d != -1])
        shape[shape.index(-1)] = 0 if known == 0 else x.size // known
    return call("reshape", x, shape=shape)


@symbolic_op
def ravel(x: TensorLike) -> Tensor:
    """x in one dimension."""
    x = as_tensor(x)
    return call("reshape", x, shape=[x.size])


@symbolic_op
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """x with its dimensions in the order `axes`, or reversed if it is None."""
    x = as_tensor(x)
    if axes is None:
        perm = list(range(x.ndim))[::-1]
    else:
        perm = canonical_axes(axes, x.ndim, "axes")
        if len(perm) != x.ndim:
            raise ValueError(
                f"Expected axes to name all {x.ndim} dimensions of x; received axes={tuple(axes)}."
            )
    return _permute(x, perm)


def _permute(x: Tensor, perm: Sequence[int]) -> Tensor:
    return x if list(perm) == list(range(x.ndim)) else call("transpose", x, perm=list(perm))


@symbolic_op
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """x with two dimensions exchanged."""
    x = as_tensor(x)
    a, b = canonical_axis(axis1, x.ndim, "axis1"), canonical_axis(axis2, x.ndim, "axis2")
    perm = list(range(x.ndim))
    perm[a], perm[b] = b, a
    return _permute(x, perm)


@symbolic_op
def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """x with dimensions `source` moved to positions `destination`, the others in their order."""
    x = as_tensor(x)
    sources = canonical_axes(source, x.ndim, "source")
    destinations = canonical_axes(destination, x.ndim, "destination")
    if len(sources) != len(destinations):
        raise ValueError(f"source and destination differ in length: {source} and {destination}.")
    perm = [i for i in range(x.ndim) if i not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        perm.insert(place, axis)
    return _permute(x, perm)


@symbolic_op
def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> Tensor:
    """x with new dimensions of size 1 at the positions `axis` of the result."""
    x = as_tensor(x)
    if isinstance(axis, int):
        axis = canonical_axis(axis, x.ndim + 1)
        shape = x.shape
        return call("reshape", x, shape=[*shape[:axis], 1, *shape[axis:]])
    axes = list(axis)
    places = set(canonical_axes(axes, x.ndim + len(axes)))
    sizes = iter(x.shape)
    shape = [1 if i in places else next(sizes) for i in range(x.ndim + len(axes))]
    return call("reshape", x, shape=shape)


@symbolic_op
def squeeze(x: TensorLike, axis: Axes = None) -> Tensor:
    """x without its dimensions of size 1, or without those named by `axis` (whose size must be 1)."""
    x = as_tensor(x)
    if axis is None:
        return reshape_to(x, [d for d in x.shape if d != 1])
    axes = canonical_axes(axis, x.ndim)
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(
                f"Cannot squeeze dimension {a} of shape {x.shape}: its size is {x.shape[a]}, not 1."
            )
    return reshape_to(x, [d for i, d in enumerate(x.shape) if i not in axes])


@symbolic_op
def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """x repeated along new dimensions and dimensions of size 1 until it has `shape`."""
    return broadcast(as_tensor(x), canonical_shape(shape))


# --------------------------------------------------------------------------------------- order and copies


@symbolic_op
def flip(x: TensorLike, axis: Axes = None) -> Tensor:
    """x in reverse order along `axis`, or along all dimensions if it is None."""
    x = as_tensor(x)
    axes = canonical_axes(axis, x.ndim)
    return call("reverse", x, axes=axes) if axes else x


@symbolic_op
def fliplr(x: TensorLike) -> Tensor:
    """x in reverse order along its second dimension."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"ops.fliplr needs a tensor of at least 2 dimensions; received shape {x.shape}.")
    return call("reverse", x, axes=[1])


@symbolic_op
def flipud(x: TensorLike) -> Tensor:
    """x in reverse order along its first dimension."""
    x = as_tensor(x)
    if x.ndim < 1:
        raise ValueError("ops.flipud needs a tensor of at least 1 dimension; received a scalar.")
    return call("reverse", x, axes=[0])


@symbolic_op
def rot90(array: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """`array` turned by `k` quarters in the plane of `axes`, from the first towards the second."""
    x = as_tensor(array)
    if x.ndim < 2:
        raise ValueError(f"ops.rot90 needs a tensor of at least 2 dimensions; received shape {x.shape}.")
    if len(axes) != 2:
        raise ValueError(f"Expected two axes; received axes={axes}.")
    first, second = canonical_axes(axes, x.ndim, "axes")
    k %= 4
    if k == 0:
        return x
    if k == 2:
        return call("reverse", x, axes=[first, second])
    perm = list(range(x.ndim))
    perm[first], perm[second] = second, first
    if k == 1:
        return call("transpose", call("reverse", x, axes=[second]), perm=perm)
    return call("reverse", call("transpose", x, perm=perm), axes=[second])


@symbolic_op
def roll(x: TensorLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """x with its elements moved `shift` places along `axis`; those that fall off the end reappear in front.

    With `axis=None` the flattened x is rolled.
    """
    x = as_tensor(x)
    if axis is None:
        shape = x.shape
        shifts = [shift] if isinstance(shift, int) else list(shift)
        flat = call("reshape", x, shape=[x.size])
        return call("reshape", _roll(flat, builtins.sum(int(s) for s in shifts), 0), shape=shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(shifts) == 1:
        shifts *= len(axes)
    if len(axes) == 1:
        axes *= len(shifts)
    if len(shifts) != len(axes):
        raise ValueError(f"ops.roll needs one shift per axis; received shift={shift}, axis={axis}.")
    for s, a in zip(shifts, axes, strict=True):
        x = _roll(x, int(s), canonical_axis(a, x.ndim))
    return x


def _roll(x: Tensor, shift: int, axis: int) -> Tensor:
    n = x.shape[axis]
    shift = shift % n if n else 0
    return x if shift == 0 else join([cut(x, axis, n - shift, n), cut(x, axis, 0, n - shift)], axis)


@symbolic_op
def tile(x: TensorLike, repeats: int | Sequence[int]) -> Tensor:
    """x repeated as a whole, `repeats[i]` times along dimension i.

    Example:
        >>> ops.tile([1, 2], 3)
        [1, 2, 1, 2, 1, 2]
    """
    x = as_tensor(x)
    times = canonical_shape(repeats)
    times = [1] * (x.ndim - len(times)) + times
    shape = [1] * (len(times) - x.ndim) + list(x.shape)
    if builtins.all(t == 1 for t in times):
        return reshape_to(x, shape)
    split, wide = [], []
    for t, d in zip(times, shape, strict=True):
        if t != 1:
            split.append(1)
            wide.append(t)
        split.append(d)
        wide.append(d)
    out = call("broadcast_to", call("reshape", x, shape=split), shape=wide)
    return call("reshape", out, shape=[t * d for t, d in zip(times, shape, strict=True)])


@symbolic_op
def repeat(x: TensorLike, repeats: int | TensorLike, axis: int | None = None) -> Tensor:
    """x with each element (or slice along `axis`) repeated.

    Args:
        repeats: how often, an int for all or one for each; a tensor must have a value, for the shape of the
            result depends on it.
        axis: the dimension; None flattens x first.

    Example:
        >>> ops.repeat([1, 2], 2)
        [1, 1, 2, 2]
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = call("reshape", x, shape=[x.size]), 0
    axis = canonical_axis(axis, x.ndim)
    if not isinstance(repeats, int):
        counts = host_value(
            np.asarray(repeats) if isinstance(repeats, (list, tuple)) else repeats,
            "repeat",
            "with a tensor of repeats gives a result as long as they say",
        )
        counts = np.atleast_1d(counts)
        if counts.size != 1:
            if counts.shape != (x.shape[axis],):
                raise ValueError(
                    f"Expected one repeat count for each of the {x.shape[axis]} elements along axis {axis}; "
                    f"received shape {counts.shape}."
                )
            places = np.repeat(np.arange(x.shape[axis], dtype=np.int32), counts)
            return call("gather", x, as_tensor(places), axis=axis)
        repeats = int(counts[0])
    shape = list(x.shape)
    lead = [*shape[: axis + 1], 1, *shape[axis + 1 :]]
    wide = [*shape[: axis + 1], repeats, *shape[axis + 1 :]]
    shape[axis] *= repeats
    return call("reshape", call("broadcast_to", call("reshape", x, shape=lead), shape=wide), shape=shape)


@symbolic_op
def pad(x: TensorLike, pad_width: Any, mode: str = "constant", constant_values: TensorLike = None) -> Tensor:
    """x with elements added before and after it along each dimension.

    Args:
        pad_width: ((before, after), ...) for each dimension; (before, after), or one int, for all of them.
        mode: "constant" (0, or `constant_values`), "reflect", "symmetric", "edge", "wrap" or "empty".
        constant_values: a number; only for mode "constant".

    Example:
        >>> ops.pad([1, 2, 3], (1, 2), mode="reflect")
        [2, 1, 2, 3, 2, 1]
    """
    x = as_tensor(x)
    widths = _pad_widths(pad_width, x.ndim)
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, constant_values)
    if constant_values is not None:
        raise ValueError(f"constant_values is only for mode='constant'; received mode={mode!r}.")
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise missing(
            f"ops.pad(mode={mode!r})", "The modes are constant, reflect, symmetric, edge, wrap and empty."
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            # Which element each place of the padded dimension shows: NumPy knows the rules of every mode.
            places = np.pad(np.arange(x.shape[axis], dtype=np.int32), (before, after), mode=mode)
            x = call("gather", x, as_tensor(places), axis=axis)
    return x


def _pad_widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * ndim
    try:
        widths = np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (ndim, 2))
    except ValueError:
        raise ValueError(
            f"Expected pad_width to be an int, (before, after), or such a pair for each of {ndim} "
            "dimensions; "
            f"received {pad_width}."
        ) from None
    if (widths < 0).any():
        raise ValueError(f"Expected pad widths >= 0; received {pad_width}.")
    return [(int(a), int(b)) for a, b in widths]


def _pad_constant(x: Tensor, widths: list[tuple[int, int]], value: TensorLike) -> Tensor:
    low, high = [w[0] for w in widths], [w[1] for w in widths]
    if not builtins.any(low) and not builtins.any(high):
        return x
    if value is None or isinstance(value, (bool, int, float)):
        return call("pad", x, low=low, high=high, value=float(value or 0))
    inside = call("pad", call("full", value=1, shape=x.shape, dtype="bool"), low=low, high=high)
    return call("where", inside, call("pad", x, low=low, high=high), as_tensor_of(value, x.dtype))


# ---------------------------------------------------------------------------------------------- joining


@symbolic_op
def concatenate(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """The tensors joined along a dimension they already have; the others must agree."""
    return _concatenate(xs, axis)


def _concatenate(xs: Sequence[TensorLike], axis: int) -> Tensor:
    if not isinstance(xs, (list, tuple)):
        xs = list(xs)
    if not xs:
        raise ValueError("Cannot join an empty list of tensors.")
    parts = same_dtype(xs)
    ndim = parts[0].ndim
    axis = canonical_axis(axis, ndim)
    if len(parts) == 1:
        return parts[0]
    first = parts[0].shape
    for i, part in enumerate(parts):
        if (
            part.ndim != ndim
            or part.shape[:axis] != first[:axis]
            or part.shape[axis + 1 :] != first[axis + 1 :]
        ):
            raise ValueError(
                f"Cannot concatenate along axis {axis}: tensor 0 has shape {first}, tensor {i} has shape "
                f"{part.shape}; only the size of that axis may differ."
            )
    return call("concatenate", *parts, axis=axis)


@symbolic_op
def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Tensor:
    """x1 and x2 joined along `axis`, or both flattened and joined if it is None."""
    if axis is None:
        return _concatenate([reshape_to(t, [t.size]) for t in (as_tensor(x1), as_tensor(x2))], 0)
    return _concatenate([x1, x2], axis)


@symbolic_op
def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension `axis`."""
    parts = same_dtype(x)
    shape = parts[0].shape
    for i, part in enumerate(parts):
        if part.shape != shape:
            raise ValueError(
                f"Cannot stack tensors of different shapes: 0 has {shape}, {i} has {part.shape}."
            )
    axis = canonical_axis(axis, len(shape) + 1)
    new = [*shape[:axis], 1, *shape[axis:]]
    return join([call("reshape", part, shape=new) for part in parts], axis)


@symbolic_op
def hstack(xs: Sequence[TensorLike]) -> Tensor:
    """The tensors joined along the second dimension, or the first if they have only one."""
    parts = [_at_least(as_tensor(t), 1) for t in xs]
    return _concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@symbolic_op
def vstack(xs: Sequence[TensorLike]) -> Tensor:
    """The tensors joined along the first dimension; vectors become rows."""
    return _concatenate([_at_least(as_tensor(t), 2) for t in xs], 0)


@symbolic_op
def dstack(xs: Sequence[TensorLike]) -> Tensor:
    """The tensors joined along the third dimension; matrices become slices of depth 1."""
    return _concatenate([_at_least(as_tensor(t), 3) for t in xs], 2)


def _at_least(x: Tensor, ndim: int) -> Tensor:
    if x.ndim >= ndim:
        return x
    shape = list(x.shape)
    if ndim == 3:
        # NumPy's rule: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1).
        shape = [1] * (2 - len(shape)) + shape + [1]
    else:
        shape = [1] * (ndim - len(shape)) + shape
    return call("reshape", x, shape=shape)


# --------------------------------------------------------------------------------------------- splitting


@symbolic_op
def split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along `axis` into equal parts (an int), or at the given indices.

    Example:
        >>> ops.split([1, 2, 3, 4], [1, 3])
        [[1], [2, 3], [4]]
    """
    return _split(as_tensor(x), indices_or_sections, axis)


@symbolic_op
def array_split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Like `split`, but the parts may differ by one in size: the first ones are the larger."""
    x = as_tensor(x)
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections < 1:
            raise ValueError(f"Expected at least 1 section; received {sections}.")
        n = x.shape[canonical_axis(axis, x.ndim)]
        sizes = [n // sections + (i < n % sections) for i in range(sections)]
        return _split(x, np.cumsum(sizes[:-1]).tolist(), axis)
    return _split(x, indices_or_sections, axis)


@symbolic_op
def hsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """x cut along its second dimension, or the first if it has only one."""
    x = as_tensor(x)
    return _split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@symbolic_op
def vsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """x cut along its first dimension."""
    return _split(as_tensor(x), indices_or_sections, 0)


@symbolic_op
def dsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """x cut along its third dimension."""
    return _split(as_tensor(x), indices_or_sections, 2)


def _split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int) -> list[Tensor]:
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections < 1 or n % sections:
            raise ValueError(
                f"Cannot split dimension {axis} of shape {x.shape} into {sections} equal parts. "
                "Give the indices to cut at, or use ops.array_split."
            )
        bounds = [i * (n // sections) for i in range(1, sections)]
    else:
        bounds = [int(i) for i in indices_or_sections]
        bounds = [builtins.min(builtins.max(b + n if b < 0 else b, 0), n) for b in bounds]
    starts, stops = [0, *bounds], [*bounds, n]
    return [cut(x, axis, a, builtins.max(a, b)) for a, b in zip(starts, stops, strict=True)]


# --------------------------------------------------------------------------------------------- questions


def ndim(x: TensorLike) -> int:
    """The number of dimensions of x."""
    return len(x.shape) if hasattr(x, "shape") else as_tensor(x).ndim


@symbolic_op
def size(x: TensorLike) -> int | Tensor:
    """The number of elements of x (a symbolic scalar if x is a KerasTensor)."""
    n = count(x.shape) if hasattr(x, "shape") else as_tensor(x).size
    # Sizes put in for unknown dimensions must not be taken for real ones: only a tensor shows as symbolic.
    return n if state.placeholders is None else call("full", value=n, shape=[], dtype="int32")
