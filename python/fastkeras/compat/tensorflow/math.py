"""`tf.math`: elementwise functions, reductions, cumulative sums, and counting."""

# ruff: noqa: F401 - a namespace: what it imports is public.
from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._adapters import (
    activation,
    arguments,
    binary,
    reduction,
    unary,
)
from fastkeras.compat.tensorflow._indexing import known
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._segments import (
    segment_max,
    segment_mean,
    segment_min,
    segment_prod,
    segment_sum,
    unsorted_segment_max,
    unsorted_segment_mean,
    unsorted_segment_min,
    unsorted_segment_prod,
    unsorted_segment_sqrt_n,
    unsorted_segment_sum,
)
from fastkeras.compat.tensorflow._shape import axes_arg
from fastkeras.compat.tensorflow._top_k import in_top_k, top_k
from fastkeras.ops import _common

# ------------------------------------------------------------------------------------- of a single number


@_common.symbolic_op
def _lgamma(x: Any) -> Tensor:
    """log(|gamma(x)|)."""
    return _common.call("lgamma", _common.as_float(x))


@_common.symbolic_op
def _digamma(x: Any) -> Tensor:
    """The derivative of `lgamma`."""
    return _common.call("digamma", _common.as_float(x))


abs = unary(ops.abs, "abs")
acos = unary(ops.arccos, "acos")
acosh = unary(ops.arccosh, "acosh")
asin = unary(ops.arcsin, "asin")
asinh = unary(ops.arcsinh, "asinh")
atan = unary(ops.arctan, "atan")
atanh = unary(ops.arctanh, "atanh")
ceil = unary(ops.ceil, "ceil")
cos = unary(ops.cos, "cos")
cosh = unary(ops.cosh, "cosh")
digamma = unary(_digamma, "digamma")
erf = unary(ops.erf, "erf")
erfc = unary(ops.erfc, "erfc")
erfinv = unary(ops.erfinv, "erfinv")
exp = unary(ops.exp, "exp")
expm1 = unary(ops.expm1, "expm1")
floor = unary(ops.floor, "floor")
is_finite = unary(ops.isfinite, "is_finite")
is_inf = unary(ops.isinf, "is_inf")
is_nan = unary(ops.isnan, "is_nan")
lgamma = unary(_lgamma, "lgamma")
log = unary(ops.log, "log")
log1p = unary(ops.log1p, "log1p")
log_sigmoid = unary(ops.log_sigmoid, "log_sigmoid")
logical_not = unary(ops.logical_not, "logical_not")
negative = unary(ops.negative, "negative")
reciprocal = unary(ops.reciprocal, "reciprocal")
rint = unary(ops.round, "rint")
round = unary(ops.round, "round")
rsqrt = unary(ops.rsqrt, "rsqrt")
sigmoid = unary(ops.sigmoid, "sigmoid")
sign = unary(ops.sign, "sign")
sin = unary(ops.sin, "sin")
sinh = unary(ops.sinh, "sinh")
softplus = activation(ops.softplus, "softplus")
softsign = activation(ops.softsign, "softsign")
sqrt = unary(ops.sqrt, "sqrt")
square = unary(ops.square, "square")
tan = unary(ops.tan, "tan")
tanh = unary(ops.tanh, "tanh")

# --------------------------------------------------------------------------------------------- of two

add = binary(ops.add, "add")
atan2 = arguments(ops.arctan2, "atan2", "y", "x")
divide = binary(ops.divide, "divide")
divide_no_nan = binary(ops.divide_no_nan, "divide_no_nan")
equal = binary(ops.equal, "equal")
floordiv = binary(ops.floor_divide, "floordiv")
floormod = mod = binary(ops.mod, "floormod")
greater = binary(ops.greater, "greater")
greater_equal = binary(ops.greater_equal, "greater_equal")
less = binary(ops.less, "less")
less_equal = binary(ops.less_equal, "less_equal")
logical_and = binary(ops.logical_and, "logical_and")
logical_or = binary(ops.logical_or, "logical_or")
logical_xor = binary(ops.logical_xor, "logical_xor")
maximum = binary(ops.maximum, "maximum")
minimum = binary(ops.minimum, "minimum")
multiply = binary(ops.multiply, "multiply")
not_equal = binary(ops.not_equal, "not_equal")
pow = binary(ops.power, "pow")
subtract = binary(ops.subtract, "subtract")
truediv = binary(ops.true_divide, "truediv")


def squared_difference(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`(x - y) ** 2`."""
    return ops.square(ops.subtract(x, y))


def multiply_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * y`, and 0 where y is 0, even if x is infinite or NaN."""
    return ops.where(ops.equal(y, 0), 0.0, ops.multiply(x, y))


def xlogy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * log(y)`, and 0 where x is 0."""
    zero = ops.equal(x, 0)
    return ops.where(zero, 0.0, ops.multiply(x, ops.log(ops.where(zero, 1.0, y))))


def xlog1py(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * log(1 + y)`, and 0 where x is 0."""
    zero = ops.equal(x, 0)
    return ops.where(zero, 0.0, ops.multiply(x, ops.log1p(ops.where(zero, 0.0, y))))


def xdivy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y`, and 0 where x is 0."""
    zero = ops.equal(x, 0)
    return ops.where(zero, 0.0, ops.divide(x, ops.where(zero, 1.0, y)))


def add_n(inputs: Any, name: str | None = None) -> Tensor:
    """The sum of a list of tensors of one shape."""
    terms = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if not terms:
        raise ValueError(
            "tf.add_n got an empty list. Expected at least one tensor. Start with tf.zeros(shape)."
        )
    total = ops.convert_to_tensor(terms[0])
    for term in terms[1:]:
        if tuple(ops.shape(term)) != tuple(ops.shape(total)):
            raise ValueError(
                f"tf.add_n got tensors of shapes {tuple(ops.shape(total))} and {tuple(ops.shape(term))}. Expected "
                "equal ones. Add them with `+`, which broadcasts."
            )
        total = ops.add(total, term)
    return total


accumulate_n = add_n


def polyval(coeffs: Any, x: Any, name: str | None = None) -> Tensor:
    """The polynomial with these coefficients, that of the highest power first, at x."""
    total = ops.zeros_like(x)
    for c in coeffs:
        total = ops.add(ops.multiply(total, x), c)
    return total


# ------------------------------------------------------------------------------------------- reductions

reduce_all = reduction(ops.all, "reduce_all")
reduce_any = reduction(ops.any, "reduce_any")
reduce_logsumexp = reduction(ops.logsumexp, "reduce_logsumexp")
reduce_max = reduction(ops.max, "reduce_max")
reduce_mean = reduction(ops.mean, "reduce_mean", keep_integers=True)
reduce_min = reduction(ops.min, "reduce_min")
reduce_prod = reduction(ops.prod, "reduce_prod", keep_integers=True)
reduce_std = reduction(ops.std, "reduce_std")
reduce_sum = reduction(ops.sum, "reduce_sum", keep_integers=True)
reduce_variance = reduction(ops.var, "reduce_variance")


def reduce_euclidean_norm(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The root of the sum of squares."""
    return ops.sqrt(ops.sum(ops.square(input_tensor), axes_arg(axis), keepdims))


def argmax(input: Any, axis: Any = None, output_type: Any = "int64", name: str | None = None) -> Tensor:
    """The index of the largest element along a dimension, the first one if `axis` is None."""
    return ops.cast(ops.argmax(input, 0 if axis is None else int(axis)), output_type)


def argmin(input: Any, axis: Any = None, output_type: Any = "int64", name: str | None = None) -> Tensor:
    """The index of the smallest element along a dimension, the first one if `axis` is None."""
    return ops.cast(ops.argmin(input, 0 if axis is None else int(axis)), output_type)


def count_nonzero(
    input: Any,
    axis: Any = None,
    keepdims: bool = False,
    dtype: Any = "int64",
    name: str | None = None,
) -> Tensor:
    """How many elements are not 0."""
    return ops.cast(ops.sum(ops.cast(ops.not_equal(input, 0), "int32"), axes_arg(axis), keepdims), dtype)


def zero_fraction(value: Any, name: str | None = None) -> Tensor:
    """The share of elements that are 0."""
    return ops.mean(ops.cast(ops.equal(value, 0), "float32"))


def cumsum(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None
) -> Tensor:
    """Sums of the elements up to each one along a dimension.

    Args:
        x: the tensor.
        axis: the dimension.
        exclusive: whether each sum leaves its own element out.
        reverse: whether to sum from the end.
        name: unused.
    """
    return _cumulative(ops.cumsum, x, int(axis), exclusive, reverse, 0)


def cumprod(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None
) -> Tensor:
    """Products of the elements up to each one along a dimension; arguments as for `tf.cumsum`."""
    return _cumulative(ops.cumprod, x, int(axis), exclusive, reverse, 1)


def _cumulative(op: Any, x: Any, axis: int, exclusive: bool, reverse: bool, first: int) -> Tensor:
    dtype = ops.dtype(x)
    x = ops.flip(x, axis) if reverse else x
    if exclusive:
        shape = ops.shape(x)
        axis = axis % len(shape)
        widths = [(1, 0) if i == axis else (0, 0) for i in range(len(shape))]
        keys = tuple(slice(0, -1) if i == axis else slice(None) for i in range(len(shape)))
        x = ops.pad(ops.get_item(x, keys), widths, constant_values=first)
    out = ops.cast(op(x, axis), dtype)
    return ops.flip(out, axis) if reverse else out


# --------------------------------------------------------------------------------------------- counting


def bincount(
    arr: Any,
    weights: Any = None,
    minlength: Any = None,
    maxlength: Any = None,
    dtype: Any = "int32",
    name: str | None = None,
    axis: int | None = None,
    binary_output: bool = False,
) -> Tensor:
    """How often each of the numbers 0, 1, 2, ... occurs.

    Args:
        arr: integers, whose value must be known unless both lengths are given and equal.
        weights: what an occurrence counts, in the shape of `arr`; 1 if None.
        minlength, maxlength: bounds of the length of the result, which is else the largest number + 1.
        dtype: the type of the counts, if there are no weights.
        name: unused.
        axis: None or 0: counts over everything; -1: for each row of a matrix.
        binary_output: whether to say only if each number occurs.
    """
    if minlength is not None and minlength == maxlength:
        n = int(maxlength)
    else:
        value = known(arr, "tf.math.bincount", "the largest number is the length of the result")
        n = max(int(value.max()) + 1 if value.size else 0, int(minlength or 0))
        n = n if maxlength is None else min(n, int(maxlength))
    kind = dtype if weights is None else ops.dtype(weights)
    hits = ops.one_hot(arr, n, dtype=kind)
    if weights is not None:
        hits = ops.multiply(hits, ops.expand_dims(weights, -1))
    lead = len(ops.shape(hits)) - 1
    out = ops.sum(hits, [lead - 1] if axis == -1 else list(range(lead)))
    return ops.cast(ops.not_equal(out, 0) if binary_output else out, kind)


def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: Any = None,
    weights: Any = None,
    dtype: Any = "int32",
    name: str | None = None,
) -> Tensor:
    """How often each label (row) was predicted as each class (column).

    Args:
        labels, predictions: vectors of class indices.
        num_classes: how many classes; the largest index + 1, whose value must be known, if None.
        weights: what each pair counts; 1 if None.
        dtype: the type of the counts.
        name: unused.
    """
    if num_classes is None:
        why = "the largest class is the size of the matrix"
        top = [int(known(x, "tf.math.confusion_matrix", why).max(initial=-1)) for x in (labels, predictions)]
        num_classes = max(top) + 1
    n = int(num_classes)
    rows = ops.one_hot(labels, n, dtype="float32")
    if weights is not None:
        rows = ops.multiply(rows, ops.expand_dims(ops.cast(weights, "float32"), -1))
    return ops.cast(ops.matmul(ops.transpose(rows), ops.one_hot(predictions, n, dtype="float32")), dtype)


def invert_permutation(x: Any, name: str | None = None) -> Tensor:
    """The permutation that undoes one."""
    return ops.argsort(x)


def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None) -> Tensor:
    """`x` divided by the root of its sum of squares along `axis`.

    Args:
        x: the tensor.
        axis: one dimension or several; None for all.
        epsilon: the smallest sum of squares taken.
        name: unused.
    """
    squares = ops.sum(ops.square(x), axes_arg(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))


def softmax(logits: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """Probabilities in proportion to exp(logits), along the last dimension by default."""
    return ops.softmax(logits, -1 if axis is None else axis)


def log_softmax(logits: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """The logarithm of `tf.math.softmax`."""
    return ops.log_softmax(logits, -1 if axis is None else axis)


def is_non_decreasing(x: Any, name: str | None = None) -> Tensor:
    """Whether no element (of the flattened tensor) is smaller than the one before."""
    flat = ops.reshape(x, [-1])
    return ops.all(ops.greater_equal(flat[1:], flat[:-1]))


def is_strictly_increasing(x: Any, name: str | None = None) -> Tensor:
    """Whether each element (of the flattened tensor) is larger than the one before."""
    flat = ops.reshape(x, [-1])
    return ops.all(ops.greater(flat[1:], flat[:-1]))


def scalar_mul(scalar: Any, x: Any, name: str | None = None) -> Tensor:
    """`scalar * x`."""
    return ops.multiply(scalar, x)


__getattr__ = missing(
    __name__,
    {
        "special": "Of the special functions there are tf.math.erf, erfc, erfinv, lgamma and digamma.",
        "cumulative_logsumexp": "Use tf.math.log(tf.cumsum(tf.exp(x - m))) + m with m = tf.reduce_max(x).",
        "real": "There are no complex tensors: keep real and imaginary parts in two tensors (fastkeras.ops.fft does).",
        "imag": "There are no complex tensors: keep real and imaginary parts in two tensors (fastkeras.ops.fft does).",
    },
)
