"""Products that sum over dimensions: matmul, dot, tensordot, inner, outer, cross, kron."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from fastkeras.ops._common import (
    FLOATS,
    Tensor,
    TensorLike,
    as_tensor,
    broadcast,
    call,
    canonical_axes,
    canonical_axis,
    cast_to,
    count,
    join,
    reshape,
    same_dtype,
    symbolic_op,
)


@symbolic_op
def matmul(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The matrix product of the last two dimensions; the others are batches and broadcast.

    A 1-D operand is a row (x1) or column (x2) vector, whose dimension disappears from the result. The product
    of two int8 tensors is int32.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim >= 2 and x2.ndim >= 2 and x1.dtype == x2.dtype and x1.dtype in FLOATS:
        return call("matmul", x1, x2)
    return _matmul(x1, x2)


def _matmul(x1: Tensor, x2: Tensor) -> Tensor:
    if x1.ndim == 0 or x2.ndim == 0:
        raise ValueError(
            f"Cannot matrix-multiply scalars; received shapes {x1.shape} and {x2.shape}. Use ops.multiply."
        )
    x1, x2 = same_dtype((x1, x2))
    n1, n2 = x1.ndim, x2.ndim
    if n1 == 1:
        x1 = call("reshape", x1, shape=[1, x1.size])
    if n2 == 1:
        x2 = call("reshape", x2, shape=[x2.size, 1])
    out = matrix_product(x1, x2)
    if n1 == 1 or n2 == 1:
        shape = list(out.shape)
        if n2 == 1:
            del shape[-1]
        if n1 == 1:
            del shape[-1 if n2 == 1 else -2]
        out = call("reshape", out, shape=shape)
    return out


def matrix_product(a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The product of matrices (and batches of them) of one type; integers and booleans included."""
    dtype = a.dtype
    # Small integers are summed in 32 bits; booleans are counted, and compared with 0.
    work = {"bool": "int32", "int8": "int32"}.get(dtype, dtype)
    out = call("matmul", cast_to(a, work), cast_to(b, work), transpose_a=transpose_a, transpose_b=transpose_b)
    return call("not_equal", out, 0) if dtype == "bool" else out


@symbolic_op
def dot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of products over the last dimension of x1 and the second to last of x2 (or its only one).

    With a scalar, it multiplies.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return _tensordot(x1, x2, [x1.ndim - 1], [builtins.max(x2.ndim - 2, 0)])


@symbolic_op
def vdot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of the products of the elements of two tensors of one size, flattened."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.size != x2.size:
        raise ValueError(
            f"ops.vdot needs as many elements in x1 as in x2; received {x1.shape} and {x2.shape}."
        )
    return _tensordot(reshape(x1, [x1.size]), reshape(x2, [x2.size]), [0], [0])


@symbolic_op
def inner(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of products over the last dimension of both."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return _tensordot(x1, x2, [x1.ndim - 1], [x2.ndim - 1])


@symbolic_op
def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Every element of x1 times every element of x2: a matrix."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    return call("reshape", x1, shape=[x1.size, 1]) * call("reshape", x2, shape=[1, x2.size])


@symbolic_op
def tensordot(x1: TensorLike, x2: TensorLike, axes: int | Sequence[Any] = 2) -> Tensor:
    """The sum of products over several dimensions.

    Args:
        axes: how many dimensions to sum over, the last of x1 with the first of x2; or two lists of
            dimensions.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if isinstance(axes, int):
        if axes > builtins.min(x1.ndim, x2.ndim) or axes < 0:
            raise ValueError(f"axes={axes} for tensors of shapes {x1.shape} and {x2.shape}.")
        return _tensordot(x1, x2, list(range(x1.ndim - axes, x1.ndim)), list(range(axes)))
    first, second = axes
    return _tensordot(x1, x2, canonical_axes(first, x1.ndim, "axes"), canonical_axes(second, x2.ndim, "axes"))


def _tensordot(x1: Tensor, x2: Tensor, axes1: list[int], axes2: list[int]) -> Tensor:
    x1, x2 = same_dtype((x1, x2))
    if [x1.shape[a] for a in axes1] != [x2.shape[a] for a in axes2]:
        raise ValueError(
            f"Cannot sum over dimensions {axes1} of shape {x1.shape} with dimensions {axes2} of shape "
            f"{x2.shape}: "
            "their sizes differ."
        )
    rest1 = [i for i in range(x1.ndim) if i not in axes1]
    rest2 = [i for i in range(x2.ndim) if i not in axes2]
    shape = [x1.shape[i] for i in rest1] + [x2.shape[i] for i in rest2]
    k = count([x1.shape[a] for a in axes1])
    a, transpose_a = _as_matrix(x1, rest1, axes1, k)
    b, transpose_b = _as_matrix(x2, axes2, rest2, count([x2.shape[i] for i in rest2]))
    return reshape(matrix_product(a, b, transpose_a, transpose_b), shape)


def _as_matrix(x: Tensor, rows: list[int], columns: list[int], width: int) -> tuple[Tensor, bool]:
    """x as a matrix of these rows and columns, and whether it is given transposed (to save moving data)."""
    if [*columns, *rows] == list(range(x.ndim)) and rows and columns:
        return reshape(x, [width, x.size // width if width else 0]), True
    perm = [*rows, *columns]
    moved = x if perm == list(range(x.ndim)) else call("transpose", x, perm=perm)
    height = count([x.shape[i] for i in rows])
    return reshape(moved, [height, width]), False


@symbolic_op
def cross(
    x1: TensorLike,
    x2: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """The cross product of vectors with 3 components (or 2, the third being 0).

    Args:
        axisa, axisb: the dimensions of x1 and x2 that hold the components.
        axisc: the dimension of the result that does; two 2-component vectors give one number and no
            dimension.
        axis: all three at once.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = same_dtype((x1, x2))
    a, b = _components(x1, axisa, "x1"), _components(x2, axisb, "x2")
    if len(a) == 2 and len(b) == 2:
        return a[0] * b[1] - a[1] * b[0]
    zero = call("full", value=0, shape=[], dtype=x1.dtype)
    a, b = [*a, zero][:3], [*b, zero][:3]
    parts = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    shape = list(parts[2].shape)
    axisc = canonical_axis(axisc, len(shape) + 1)
    lead = [*shape[:axisc], 1, *shape[axisc:]]
    return join([reshape(broadcast(p, shape), lead) for p in parts], axisc)


def _components(x: Tensor, axis: int, name: str) -> list[Tensor]:
    axis = canonical_axis(axis, x.ndim)
    n = x.shape[axis]
    if n not in (2, 3):
        raise ValueError(
            f"ops.cross needs 2 or 3 components; {name} has {n} along axis {axis} (shape {x.shape})."
        )
    key: list[Any] = [slice(None)] * x.ndim
    out = []
    for i in range(n):
        key[axis] = i
        out.append(x[tuple(key)])
    return out


@symbolic_op
def kron(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The Kronecker product: x1 with each element replaced by that element times x2."""
    x1, x2 = same_dtype((x1, x2))
    n = builtins.max(x1.ndim, x2.ndim)
    s1 = [1] * (n - x1.ndim) + list(x1.shape)
    s2 = [1] * (n - x2.ndim) + list(x2.shape)
    left = call("reshape", x1, shape=[d for s in s1 for d in (s, 1)])
    right = call("reshape", x2, shape=[d for s in s2 for d in (1, s)])
    return call("reshape", left * right, shape=[a * b for a, b in zip(s1, s2, strict=True)])
