"""Special functions, top-k, and sums that need care: erf, logsumexp, top_k, in_top_k, cdist."""

from __future__ import annotations

import math

from fastkeras.ops._common import (
    FLOATS,
    Axes,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    call,
    canonical_axes,
    cast_to,
    iota,
    reduce_max,
    reduce_sum,
    reshape,
    same_dtype,
    symbolic_op,
)


@symbolic_op
def rsqrt(x: TensorLike) -> Tensor:
    """1 / sqrt(x)."""
    return call("rsqrt", as_float(x))


@symbolic_op
def erf(x: TensorLike) -> Tensor:
    """The error function: the probability that a normal variable of variance 1/2 lies in [-x, x]."""
    return call("erf", as_float(x))


@symbolic_op
def erfinv(x: TensorLike) -> Tensor:
    """The inverse of `erf`, for x in (-1, 1)."""
    return call("erfinv", as_float(x))


# Rational approximations of erfc(x) exp(x ** 2) for 1 <= x < 8 and for x >= 8, from S. Moshier's Cephes
# library (relative error 1e-16); coefficients from the highest power down.
_ERFC_P = (
    2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687e0, 4.86371970985681366614e1,
    1.96520832956077098242e2, 5.26445194995477358631e2, 9.34528527171957607540e2, 1.02755188689515710272e3,
    5.57535335369399327526e2,
)  # fmt: skip
_ERFC_Q = (
    1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2,
    9.75708501743205489753e2, 1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3,
    5.57535340817727675546e2,
)  # fmt: skip
_ERFC_R = (
    5.64189583547755073984e-1, 1.27536670759978104416e0, 5.01905042251180477414e0, 6.16021097993053585195e0,
    7.40974269950448939160e0, 2.97886665372100240670e0,
)  # fmt: skip
_ERFC_S = (
    1.0, 2.26052863220117276590e0, 9.39603524938001434673e0, 1.20489539808096656605e1,
    1.70814450747565897222e1, 9.60896809063285878198e0, 3.36907645100081516050e0,
)  # fmt: skip


@symbolic_op
def erfc(x: TensorLike) -> Tensor:
    """1 - erf(x), exact for large x."""
    x = as_float(x)
    dtype = x.dtype
    x = cast_to(x, "float64" if dtype == "float64" else "float32")
    size = call("abs", x)
    # Each branch is kept inside its interval, so that none overflows where another one is taken.
    middle = call("minimum", call("maximum", size, 1.0), 8.0)
    far = call("maximum", size, 8.0)
    # x ** 2 in two parts, its leading bits exact: exp would magnify the rounding error of the square.
    near = call("minimum", size, 30.0)
    high = call("floor", near * 16.0) * (1.0 / 16.0)
    decay = call("exp", -(high * high)) * call("exp", -((near - high) * (near + high)))
    tail = call(
        "where",
        call("less", size, 8.0),
        _polynomial(middle, _ERFC_P) / _polynomial(middle, _ERFC_Q),
        _polynomial(far, _ERFC_R) / _polynomial(far, _ERFC_S),
    )
    tail = call("where", call("greater", size, 29.0), 0.0, decay * tail)
    outer = call("where", call("less", x, 0.0), 2.0 - tail, tail)
    # NaN is in neither interval: it comes out of erf.
    return cast_to(call("where", call("greater_equal", size, 1.0), outer, 1.0 - call("erf", x)), dtype)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    out = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        out = out * x + c
    return out


@symbolic_op
def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) along `axis`, without overflow on the way.

    Example:
        >>> ops.logsumexp([1000.0, 1000.0])
        1000.6931
    """
    x = as_float(x)
    axes = canonical_axes(axis, x.ndim)
    largest = call("stop_gradient", reduce_max(x, axes, True))
    largest = call("where", call("isfinite", largest), largest, 0.0)
    out = call("log", reduce_sum(call("exp", x - largest), axes, True)) + largest
    return out if keepdims else reshape(out, [d for i, d in enumerate(x.shape) if i not in axes])


@symbolic_op
def top_k(x: TensorLike, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along the last dimension, in descending order, and their indices (int32).

    Args:
        sorted: accepted for compatibility: the elements are always in order.

    Example:
        >>> ops.top_k([5, 2, 7, 1], 2)
        ([7, 5], [2, 0])
    """
    x = as_tensor(x)
    if x.ndim < 1 or not 0 <= k <= x.shape[-1]:
        raise ValueError(f"Cannot pick the top k={k} along the last dimension of shape {x.shape}.")
    values, indices = call("top_k", x, k=int(k))
    return values, indices


@symbolic_op
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Tensor:
    """Whether each target class is among the k classes predicted highest; ties count in its favour.

    Args:
        targets: class indices, in the shape of `predictions` without its last dimension.
        predictions: scores of the classes, in the last dimension.

    Returns:
        Booleans in the shape of `targets`.
    """
    targets, predictions = as_tensor(targets), as_tensor(predictions)
    if targets.dtype in FLOATS:
        targets = call("cast", targets, dtype="int32")
    if targets.shape != predictions.shape[:-1]:
        raise ValueError(
            "Expected targets in the shape of predictions without its last dimension; received "
            f"targets.shape={targets.shape}, predictions.shape={predictions.shape}."
        )
    last = predictions.ndim - 1
    own = call("take_along_axis", predictions, reshape(targets, [*targets.shape, 1]), axis=last)
    if predictions.dtype in FLOATS:
        # NaN is no high score.
        own = call("where", call("isnan", own), -math.inf, own)
    better = reduce_sum(call("cast", call("greater", predictions, own), dtype="int32"), [last])
    return call("less", better, k)


@symbolic_op
def extract_sequences(x: TensorLike, sequence_length: int, sequence_stride: int) -> Tensor:
    """The windows of the last dimension: (..., n) becomes (..., windows, sequence_length).

    Example:
        >>> ops.extract_sequences([1, 2, 3, 4], 3, 1)
        [[1, 2, 3], [2, 3, 4]]
    """
    x = as_tensor(x)
    if x.ndim < 1 or sequence_length < 1 or sequence_stride < 1 or x.shape[-1] < sequence_length:
        raise ValueError(
            f"Cannot take windows of length {sequence_length} with stride {sequence_stride} from the last "
            "dimension "
            f"of shape {x.shape}."
        )
    windows = (x.shape[-1] - sequence_length) // sequence_stride + 1
    start = call("reshape", iota(windows), shape=[windows, 1])
    return call("gather", x, start * sequence_stride + iota(sequence_length), axis=x.ndim - 1)


@symbolic_op
def cdist(x: TensorLike, y: TensorLike) -> Tensor:
    """The Euclidean distances between the rows of x (..., m, d) and those of y (..., n, d): (..., m, n)."""
    x, y = same_dtype((as_float(x), as_float(y)))
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(f"`cdist` inputs must have rank >= 2; received shapes {x.shape} and {y.shape}.")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"Last dimension of inputs to `cdist` must match; received {x.shape} and {y.shape}.")
    x = call("reshape", x, shape=[*x.shape[:-1], 1, x.shape[-1]])
    y = call("reshape", y, shape=[*y.shape[:-2], 1, *y.shape[-2:]])
    difference = x - y
    squares = reduce_sum(difference * difference, [difference.ndim - 1])
    # The root has no slope at 0: equal rows get the slope 0 instead of NaN.
    zero = call("equal", squares, 0.0)
    return call("where", zero, 0.0, call("sqrt", call("where", zero, 1.0, squares)))
