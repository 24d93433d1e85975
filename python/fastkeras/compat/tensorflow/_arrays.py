"""Making tensors and rearranging them: `tf.constant`, `tf.zeros`, `tf.reshape`, `tf.concat`, `tf.pad` ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._adapters import pick
from fastkeras.compat.tensorflow._shape import ShapeTensor, TensorShape, axes_arg, on_host, shape_arg
from fastkeras.core.dtypes import standardize_dtype

# ------------------------------------------------------------------------------------------------- making


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str = "Const") -> Tensor:
    """A tensor of the given values.

    Args:
        value: a number, nested list or array.
        dtype: its type; Python floats are float32 and integers int32 if None.
        shape: the shape to give it; a single number fills it.
        name: unused.

    Raises:
        ValueError: if the number of values is not that of the shape, or for text.
    """
    x = convert_to_tensor(value, dtype)
    if shape is None:
        return x
    dims = shape_arg(shape)
    return ops.broadcast_to(x, dims) if x.size == 1 else ops.reshape(x, dims)


def convert_to_tensor(
    value: Any, dtype: Any = None, dtype_hint: Any = None, name: str | None = None
) -> Tensor:
    """`value` (a tensor, Variable, array, number or nested list) as a tensor.

    Args:
        value: what to convert.
        dtype: its type, or None to keep it.
        dtype_hint: the type where `dtype` is None and `value` has none of its own.
        name: unused.

    Raises:
        ValueError: for text: there are no tensors of text.
    """
    if isinstance(value, (str, bytes)):
        raise ValueError(
            f"Cannot make a tensor of the text {value!r}. Expected numbers: there are no tensors of text. Keep text in "
            "Python or NumPy, or in a tf.data.Dataset, until it has become numbers."
        )
    if isinstance(value, ShapeTensor):
        value = np.asarray(value)
    if dtype is None and dtype_hint is not None and not hasattr(value, "dtype"):
        dtype = dtype_hint
    return ops.convert_to_tensor(value, None if dtype is None else standardize_dtype(dtype))


def identity(input: Any, name: str | None = None) -> Tensor:
    """The same value as a tensor; of a Variable, the current one."""
    return input if isinstance(input, ShapeTensor) else ops.convert_to_tensor(input)


def zeros(shape: Any, dtype: Any = "float32", name: str | None = None, layout: Any = None) -> Tensor:
    """Zeros."""
    return ops.zeros(shape_arg(shape), dtype)


def ones(shape: Any, dtype: Any = "float32", name: str | None = None, layout: Any = None) -> Tensor:
    """Ones."""
    return ops.ones(shape_arg(shape), dtype)


def fill(dims: Any, value: Any, name: str | None = None, layout: Any = None) -> Tensor:
    """A tensor full of one number, in the type of the number."""
    return ops.broadcast_to(ops.convert_to_tensor(value), shape_arg(dims, "dims"))


def zeros_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Tensor:
    """Zeros in the shape of `input`, and its type unless another is given."""
    return ops.zeros_like(input, dtype)


def ones_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Tensor:
    """Ones in the shape of `input`, and its type unless another is given."""
    return ops.ones_like(input, dtype)


def eye(
    num_rows: Any,
    num_columns: Any = None,
    batch_shape: Any = None,
    dtype: Any = "float32",
    name: str | None = None,
) -> Tensor:
    """Identity matrices.

    Args:
        num_rows: number of rows.
        num_columns: number of columns, that of rows if None.
        batch_shape: dimensions in front of the matrix.
        dtype: the type.
        name: unused.
    """
    rows = int(num_rows)
    columns = rows if num_columns is None else int(num_columns)
    matrix = ops.eye(rows, columns, dtype=dtype)
    return (
        matrix if batch_shape is None else ops.broadcast_to(matrix, [*shape_arg(batch_shape), rows, columns])
    )


def range(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str = "range") -> Tensor:
    """Numbers from `start` up to, not including, `limit`; from 0 to `start` if no limit is given."""
    if limit is None:
        start, limit = 0, start
    return ops.arange(_number(start), _number(limit), _number(delta), dtype)


def _number(x: Any) -> Any:
    """A Python number for what has a known value: weakly typed, and free of the trace."""
    if isinstance(x, Tensor) and x.is_traced:
        raise ValueError(
            f"A bound of tf.range is a tensor whose value is not known while a function is traced: {x!r}. Expected a "
            "number, since shapes are static. Take it from tf.shape(y) or y.shape, or loop with tf.while_loop."
        )
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x).item()


def linspace(start: Any, stop: Any, num: Any, name: str | None = None, axis: int = 0) -> Tensor:
    """`num` numbers evenly spaced from `start` to `stop`, both included."""
    return ops.linspace(start, stop, int(num), axis=axis)


def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Tensor:
    """Vectors with `on_value` (1) at the index and `off_value` (0) elsewhere; all off for an index outside.

    Args:
        indices: integers of any shape.
        depth: the length of the vectors.
        on_value, off_value: numbers or scalar tensors.
        axis: where their dimension goes; the last if None.
        dtype: the type; that of the values, or float32.
        name: unused.
    """
    if on_value is None and off_value is None:
        return ops.one_hot(indices, int(depth), axis=-1 if axis is None else axis, dtype=dtype or "float32")
    on, off = (1 if on_value is None else on_value), (0 if off_value is None else off_value)
    out = ops.where(
        ops.one_hot(indices, int(depth), axis=-1 if axis is None else axis, dtype="bool"), on, off
    )
    return out if dtype is None else ops.cast(out, dtype)


def sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = "bool", name: str | None = None) -> Tensor:
    """True at the positions before each length: `(..., maxlen)`.

    Args:
        lengths: integers of any shape.
        maxlen: the length of the rows; the longest length, whose value must be known, if None.
        dtype: the type of the result.
        name: unused.
    """
    if maxlen is None:
        maxlen = _number(ops.max(lengths))
    mask = ops.less(ops.arange(int(maxlen)), ops.expand_dims(lengths, -1))
    return ops.cast(mask, dtype)


def meshgrid(*args: Any, indexing: str = "xy", name: str | None = None) -> list[Tensor]:
    """The coordinates of the points of a grid, from those along its axes."""
    return ops.meshgrid(*args, indexing=pick(("xy", "ij"), indexing, "`indexing` of tf.meshgrid"))


# -------------------------------------------------------------------------------------------- rearranging


@on_host
def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    """The same elements in another shape; -1 in it stands for what is left."""
    return ops.reshape(tensor, shape_arg(shape))


def transpose(a: Any, perm: Any = None, conjugate: bool = False, name: str = "transpose") -> Tensor:
    """The dimensions in the order `perm`, reversed if it is None."""
    return ops.transpose(
        a, None if perm is None else [p % len(ops.shape(a)) for p in shape_arg(perm, "perm")]
    )


@on_host
def expand_dims(input: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` with a dimension of size 1 put in at `axis`."""
    return ops.expand_dims(input, axes_arg(axis))


@on_host
def squeeze(input: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`input` without its dimensions of size 1, or without those named."""
    axes = axes_arg(axis)
    return ops.squeeze(
        input, tuple(axes) if isinstance(axes, list) and axes else (None if axes == [] else axes)
    )


@on_host
def concat(values: Any, axis: Any, name: str = "concat") -> Tensor:
    """Tensors joined along a dimension that they have."""
    parts = list(values) if isinstance(values, (list, tuple)) else [values]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, int(axis))


@on_host
def stack(values: Any, axis: int = 0, name: str = "stack") -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    return ops.stack(list(values), axis)


@on_host
def unstack(value: Any, num: int | None = None, axis: int = 0, name: str = "unstack") -> list[Tensor]:
    """The slices of a tensor along a dimension, without it."""
    return ops.unstack(value, num, axis)


def split(
    value: Any, num_or_size_splits: Any, axis: Any = 0, num: int | None = None, name: str = "split"
) -> list[Tensor]:
    """A tensor in parts along a dimension.

    Args:
        value: the tensor.
        num_or_size_splits: the number of equal parts, or the list of their sizes, one of which may be -1.
        axis: the dimension.
        num: unused.
        name: unused.

    Raises:
        ValueError: if the sizes do not add up to that of the dimension.
    """
    axis = int(axis)
    if np.ndim(num_or_size_splits) == 0:
        return ops.split(value, int(num_or_size_splits), axis)
    sizes = shape_arg(num_or_size_splits, "num_or_size_splits")
    total = ops.shape(value)[axis]
    if sizes.count(-1) == 1 and total is not None:
        sizes[sizes.index(-1)] = total - sum(sizes) - 1
    if total is not None and (sum(sizes) != total or min(sizes) < 0):
        raise ValueError(
            f"tf.split got the sizes {num_or_size_splits} for axis {axis} of a tensor of shape {ops.shape(value)}. "
            f"Expected sizes that add up to {total}. Give one of them as -1 to have it computed."
        )
    return ops.split(value, np.cumsum(sizes)[:-1].tolist(), axis)


def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`input` repeated as a whole, `multiples` times along each dimension."""
    return ops.tile(input, shape_arg(multiples, "multiples"))


def repeat(input: Any, repeats: Any, axis: int | None = None, name: str | None = None) -> Tensor:
    """`input` with each slice along `axis` repeated; flattened if `axis` is None."""
    counts = shape_arg(repeats, "repeats")
    return ops.repeat(input, counts[0] if len(counts) == 1 else counts, axis)


def pad(
    tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0, name: str | None = None
) -> Tensor:
    """A tensor with `(before, after)` elements added along each dimension.

    Args:
        tensor: the tensor.
        paddings: a pair of numbers for each dimension.
        mode: "CONSTANT", "REFLECT" or "SYMMETRIC".
        constant_values: what is added in the first mode.
        name: unused.
    """
    kind = pick(("constant", "reflect", "symmetric"), mode.lower(), "`mode` of tf.pad")
    rows = paddings if isinstance(paddings, (list, tuple)) else np.asarray(paddings)
    widths = [tuple(shape_arg(row, "paddings")) for row in rows]
    if kind == "constant":
        return ops.pad(tensor, widths, mode=kind, constant_values=constant_values)
    return ops.pad(tensor, widths, mode=kind)


@on_host
def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    """A tensor with the order along `axis` (one or several) reversed."""
    return ops.flip(tensor, axes_arg(axis))


def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Tensor:
    """Elements moved by `shift` places along `axis`, those that fall off coming back at the other end."""
    return ops.roll(input, axes_arg(shift), axes_arg(axis))


def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """`input` repeated along dimensions of size 1, and new ones in front, up to a shape."""
    return ops.broadcast_to(input, shape_arg(shape))


def broadcast_static_shape(shape_x: Any, shape_y: Any) -> TensorShape:
    """The shape of an elementwise operation on tensors of two shapes."""
    return TensorShape(np.broadcast_shapes(tuple(shape_x), tuple(shape_y)))


def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Any:
    """Returns `x`, if it has the shape; None in it stands for any size.

    Raises:
        ValueError: if it has another.
    """
    if not TensorShape(ops.shape(x)).is_compatible_with(shape):
        raise ValueError(
            f"tf.ensure_shape got a tensor of shape {tuple(ops.shape(x))}. Expected {tuple(TensorShape(shape))}. "
            "Reshape it first, or give None for sizes that vary."
        )
    return x


def sort(values: Any, axis: int = -1, direction: str = "ASCENDING", name: str | None = None) -> Tensor:
    """Elements in order along a dimension."""
    out = ops.sort(values, axis)
    return ops.flip(out, axis) if _descending(direction, "tf.sort") else out


def argsort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", stable: bool = False, name: str | None = None
) -> Tensor:
    """The indices that put elements in order along a dimension; equal ones stay in theirs."""
    if not _descending(direction, "tf.argsort"):
        return ops.argsort(values, axis)
    # Backwards twice, so that equal elements keep their order.
    last = ops.shape(values)[axis] - 1
    return last - ops.flip(ops.argsort(ops.flip(values, axis), axis), axis)


def _descending(direction: str, what: str) -> bool:
    return pick(("ASCENDING", "DESCENDING"), direction, f"`direction` of {what}") == "DESCENDING"
