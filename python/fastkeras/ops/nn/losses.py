"""Encodings of classes and the cross-entropies between them and predictions."""

from __future__ import annotations

from typing import Any

from fastkeras.core import config
from fastkeras.ops._common import (
    FLOATS,
    DType,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    call,
    canonical_axis,
    cast_to,
    dtype_or_floatx,
    reduce_max,
    reduce_sum,
    reshape,
    result_type,
    symbolic_op,
)


@symbolic_op
def one_hot(
    x: TensorLike, num_classes: int, axis: int = -1, dtype: DType = None, sparse: bool = False
) -> Tensor:
    """Class indices as vectors with a one at the index; an index out of range gives zeros.

    Args:
        x: integers of any shape.
        num_classes: the length of the vectors.
        axis: where in the result their dimension goes.
        dtype: the type of the result; the default float type if None.

    Example:
        >>> ops.one_hot([1, 0], 3)
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    return _one_hot(as_tensor(x), num_classes, axis, dtype_or_floatx(dtype), sparse, "one_hot")


def _one_hot(x: Tensor, num_classes: int, axis: int, dtype: str, sparse: bool, op: str) -> Tensor:
    if sparse:
        raise NotImplementedError(f"ops.{op}(sparse=True) is not supported: there are no sparse tensors.")
    if x.dtype in FLOATS or x.dtype == "bool":
        x = call("cast", x, dtype="int32")
    out = call("one_hot", x, depth=int(num_classes), dtype=dtype)
    axis = canonical_axis(axis, out.ndim)
    if axis == out.ndim - 1:
        return out
    perm = list(range(out.ndim - 1))
    perm.insert(axis, out.ndim - 1)
    return call("transpose", out, perm=perm)


@symbolic_op
def multi_hot(
    inputs: TensorLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: DType = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Sets of class indices as vectors with ones at the indices.

    Args:
        inputs: integers, (indices,) or (batch, indices, ...).
        num_classes: the length of the vectors.
        axis: where in the result their dimension goes.

    Example:
        >>> ops.multi_hot([0, 2], 4)
        [1.0, 0.0, 1.0, 0.0]
    """
    if num_classes is None:
        num_classes = kwargs.pop("num_tokens", None)
    if kwargs:
        raise TypeError(f"ops.multi_hot got unexpected keyword arguments: {', '.join(sorted(kwargs))}.")
    if num_classes is None:
        raise ValueError("Argument `num_classes` must be specified.")
    x = as_tensor(inputs)
    out = _one_hot(x, num_classes, axis, dtype_or_floatx(dtype), sparse, "multi_hot")
    return reduce_max(out, [1 if x.ndim > 1 else 0])


# ----------------------------------------------------------------------------------------- cross-entropies


@symbolic_op
def binary_crossentropy(target: TensorLike, output: TensorLike, from_logits: bool = False) -> Tensor:
    """-target * log(p) - (1 - target) * log(1 - p), element by element.

    Args:
        target: the true probabilities (0 and 1, mostly), in the shape of `output`.
        output: the predicted probabilities p, or their logits if `from_logits`.
    """
    target, output = _float_pair(target, output)
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    if from_logits:
        return call("sigmoid_cross_entropy", output, target)
    p = _clipped(output)
    return -(target * call("log", p) + (1.0 - target) * call("log", 1.0 - p))


@symbolic_op
def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-sum of target * log(p) over the classes.

    Args:
        target: the true probabilities, in the shape of `output`.
        output: the predicted probabilities p (divided by their sum first), or their logits if `from_logits`.
        axis: the dimension of the classes; the result does not have it.
    """
    target, output = _float_pair(target, output)
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    if output.ndim < 1:
        raise ValueError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    axis = canonical_axis(axis, output.ndim)
    if from_logits:
        if axis == output.ndim - 1:
            return call("softmax_cross_entropy", output, target)
        log_p = call("log_softmax", output, axis=axis)
    else:
        log_p = call("log", _clipped(output / reduce_sum(output, [axis], True)))
    return -reduce_sum(target * log_p, [axis])


@symbolic_op
def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-log of the probability predicted for the true class.

    Args:
        target: class indices, in the shape of `output` without its last dimension (or with 1 for it). An
            index outside the classes is an error when the result is computed.
        output: the predicted probabilities (divided by their sum first), or their logits if `from_logits`.
        axis: the dimension of the classes; it must be the last one.
    """
    target, output = as_tensor(target), as_float(output)
    if output.ndim < 1:
        raise ValueError(f"Argument `output` must be at least rank 1. Received: output.shape={output.shape}")
    if target.dtype in FLOATS or target.dtype == "bool":
        target = call("cast", target, dtype="int32")
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = reshape(target, target.shape[:-1])
    if target.shape != output.shape[:-1]:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    last = output.ndim - 1
    if canonical_axis(axis, output.ndim) != last:
        raise ValueError(
            f"The classes must be in the last dimension; received axis={axis} for {output.ndim} of them."
        )
    if from_logits:
        return call("sparse_softmax_cross_entropy", output, target)
    chosen = call("class_probability", output, target) / reduce_sum(output, [last])
    return -call("log", _clipped(chosen))


def _clipped(p: Tensor) -> Tensor:
    epsilon = config.epsilon()
    return call("minimum", call("maximum", p, epsilon), 1.0 - epsilon)


def _float_pair(target: TensorLike, output: TensorLike) -> tuple[Tensor, Tensor]:
    """Both in the floating type that they are promoted to."""
    output = as_float(output)
    target = as_tensor(target)
    dtype = output.dtype if target.dtype not in FLOATS else result_type(target.dtype, output.dtype)
    return as_tensor_of(target, dtype), cast_to(output, dtype)
