"""`tf.linalg`: products, norms and parts of matrices."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._shape import axes_arg
from fastkeras.optimizers import clipping


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
    name: str | None = None,
) -> Tensor:
    """The product of matrices (in the last two dimensions), either of which may be transposed first."""
    for x in (a, b):
        if len(ops.shape(x)) < 2:
            raise ValueError(
                f"tf.matmul got tensors of shapes {tuple(ops.shape(a))} and {tuple(ops.shape(b))}. Expected matrices "
                "(at least two dimensions). Use tf.linalg.matvec for a vector, or tf.tensordot."
            )
    a = matrix_transpose(a) if transpose_a or adjoint_a else a
    b = matrix_transpose(b) if transpose_b or adjoint_b else b
    out = ops.matmul(a, b)
    return out if output_type is None else ops.cast(out, output_type)


def matvec(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    adjoint_a: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of matrices and vectors (in the last dimension)."""
    return ops.squeeze(matmul(a, ops.expand_dims(b, -1), transpose_a or adjoint_a), -1)


def matrix_transpose(a: Any, name: str = "matrix_transpose", conjugate: bool = False) -> Tensor:
    """The last two dimensions exchanged."""
    return ops.swapaxes(a, -2, -1)


adjoint = matrix_transpose


def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Tensor:
    """The sum of products over `axes`: their number, or a list of them for each tensor."""
    return ops.tensordot(a, b, axes)


def einsum(equation: str, *inputs: Any, **kwargs: Any) -> Tensor:
    """The contraction that an equation such as `"ij,jk->ik"` describes."""
    return ops.einsum(equation, *inputs)


def norm(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """A norm of vectors or matrices.

    Args:
        tensor: the tensor.
        ord: "euclidean", "fro" (matrices), a number, or infinity.
        axis: an int for vectors, a pair for matrices; None for all elements as one vector.
        keepdims: whether to keep the dimensions with size 1.
        name: unused.
    """
    axis = axes_arg(axis)
    if ord == "euclidean" or (ord == "fro" and axis is None):
        return ops.norm(tensor, None, axis, keepdims)
    if axis is not None:
        return ops.norm(tensor, ord, axis, keepdims)
    out = ops.norm(ops.reshape(tensor, [-1]), ord, 0)
    return ops.reshape(out, [1] * len(ops.shape(tensor))) if keepdims else out


def normalize(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """`(tensor / its norm, the norm)`; arguments as for `tf.norm`."""
    length = norm(tensor, ord, axis, keepdims=True)
    return ops.divide(tensor, length), length


def global_norm(t_list: Any, name: str | None = None) -> Tensor:
    """The Euclidean norm of tensors (None left out) taken together as one vector."""
    return clipping.global_norm(list(t_list))


def trace(x: Any, name: str | None = None) -> Tensor:
    """The sums of the main diagonals of matrices."""
    return ops.trace(x, axis1=-2, axis2=-1)


def diag(
    diagonal: Any,
    name: str = "diag",
    k: int = 0,
    num_rows: int = -1,
    num_cols: int = -1,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """Matrices with the vectors of the last dimension on their k-th diagonal.

    Args:
        diagonal: (..., n).
        name: unused.
        k: one diagonal, 0 for the main one; bands of several are not supported.
        num_rows, num_cols: size of the matrices; square, or as small as can be beside the other one, if -1.
        padding_value: what is elsewhere.
        align: unused.
    """
    n, k = ops.shape(diagonal)[-1], _one_diagonal(k, "tf.linalg.diag")
    square = num_rows in (-1, None) and num_cols in (-1, None)
    low, high = (abs(k), abs(k)) if square else (max(-k, 0), max(k, 0))
    rows = n + low if num_rows in (-1, None) else int(num_rows)
    columns = n + high if num_cols in (-1, None) else int(num_cols)
    row = ops.reshape(ops.arange(rows), [-1, 1])
    places = ops.clip(row + min(k, 0), 0, n - 1)
    values = ops.take(diagonal, ops.reshape(places, [-1]), -1)
    return ops.where(_on_diagonal(rows, columns, k), ops.expand_dims(values, -1), padding_value)


def diag_part(
    input: Any,
    name: str = "diag_part",
    k: int = 0,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """The k-th diagonal of matrices."""
    return ops.diagonal(input, _one_diagonal(k, "tf.linalg.diag_part"), -2, -1)


def set_diag(
    input: Any,
    diagonal: Any,
    name: str = "set_diag",
    k: int = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """Matrices with their k-th diagonal replaced."""
    rows, columns = ops.shape(input)[-2:]
    new = diag(diagonal, k=_one_diagonal(k, "tf.linalg.set_diag"), num_rows=rows, num_cols=columns)
    return ops.where(_on_diagonal(rows, columns, k), new, input)


def _one_diagonal(k: Any, what: str) -> int:
    if not isinstance(k, int):
        raise NotImplementedError(
            f"{what} got the diagonals k={k!r}. Expected one number: bands of several are not supported. Call it once "
            "for each."
        )
    return k


def _on_diagonal(rows: int, columns: int, k: int) -> Tensor:
    return ops.equal(ops.expand_dims(ops.arange(columns), 0), ops.expand_dims(ops.arange(rows), 1) + k)


def band_part(input: Any, num_lower: Any, num_upper: Any, name: str | None = None) -> Tensor:
    """Matrices with 0 outside a band around the main diagonal.

    Args:
        input: (..., rows, columns).
        num_lower, num_upper: how many diagonals to keep below and above the main one; all if negative.
        name: unused.
    """
    rows, columns = ops.shape(input)[-2:]
    distance = ops.expand_dims(ops.arange(columns), 0) - ops.expand_dims(ops.arange(rows), 1)
    lower, upper = int(num_lower), int(num_upper)
    inside = ops.logical_and(
        distance >= (-rows if lower < 0 else -lower), distance <= (columns if upper < 0 else upper)
    )
    return ops.where(inside, input, ops.zeros_like(input))


def cross(a: Any, b: Any, name: str | None = None) -> Tensor:
    """The cross products of vectors of three elements (in the last dimension)."""
    return ops.cross(a, b)


__getattr__ = missing(__name__)
