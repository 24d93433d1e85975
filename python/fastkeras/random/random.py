"""Random numbers: each function draws from one key (see `seed_generator`), so equal seeds give equal
numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.dtypes import is_float_dtype, is_int_dtype, standardize_dtype
from fastkeras.ops._common import (
    FLOATS,
    DType,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    broadcast,
    call,
    canonical_axis,
    canonical_shape,
    cast_to,
    dtype_or_floatx,
    symbolic_op,
)
from fastkeras.random.seed_generator import draw_seed

Shape = int | Sequence[int]


@symbolic_op
def normal(
    shape: Shape, mean: TensorLike = 0.0, stddev: TensorLike = 1.0, dtype: DType = None, seed: Any = None
) -> Tensor:
    """Numbers from the normal distribution.

    Args:
        shape: the shape of the result.
        mean, stddev: of the distribution.
        dtype: a floating type; the default one if None.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = _float_type(dtype, "normal")
    key, shape = draw_seed(seed), canonical_shape(shape)
    if _is_number(mean) and _is_number(stddev):
        return call("random_normal", key, shape=shape, mean=float(mean), stddev=float(stddev), dtype=dtype)
    z = call("random_normal", key, shape=shape, mean=0.0, stddev=1.0, dtype=dtype)
    return z * as_tensor_of(stddev, dtype) + as_tensor_of(mean, dtype)


@symbolic_op
def uniform(
    shape: Shape, minval: TensorLike = 0.0, maxval: TensorLike = 1.0, dtype: DType = None, seed: Any = None
) -> Tensor:
    """Numbers spread evenly over [minval, maxval).

    Args:
        shape: the shape of the result.
        minval, maxval: the range.
        dtype: a floating type; the default one if None.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = _float_type(dtype, "uniform")
    key, shape = draw_seed(seed), canonical_shape(shape)
    if _is_number(minval) and _is_number(maxval):
        return call("random_uniform", key, shape=shape, low=float(minval), high=float(maxval), dtype=dtype)
    u = call("random_uniform", key, shape=shape, low=0.0, high=1.0, dtype=dtype)
    low = as_tensor_of(minval, dtype)
    return u * (as_tensor_of(maxval, dtype) - low) + low


# The share of the normal distribution within two deviations of its mean.
_WITHIN_TWO = math.erf(math.sqrt(2.0))


@symbolic_op
def truncated_normal(
    shape: Shape, mean: TensorLike = 0.0, stddev: TensorLike = 1.0, dtype: DType = None, seed: Any = None
) -> Tensor:
    """Numbers from the normal distribution, none more than two deviations away from the mean.

    Args: as for `normal`.
    """
    dtype = _float_type(dtype, "truncated_normal")
    work = "float64" if dtype == "float64" else "float32"
    u = call(
        "random_uniform",
        draw_seed(seed),
        shape=canonical_shape(shape),
        low=-_WITHIN_TWO,
        high=_WITHIN_TWO,
        dtype=work,
    )
    z = call("erfinv", u) * math.sqrt(2.0)
    z = call("minimum", call("maximum", z, -2.0), 2.0)
    return cast_to(z * _parameter(stddev, work) + _parameter(mean, work), dtype)


@symbolic_op
def randint(
    shape: Shape, minval: TensorLike, maxval: TensorLike, dtype: DType = "int32", seed: Any = None
) -> Tensor:
    """Whole numbers spread evenly over minval, ..., maxval - 1.

    Args:
        shape: the shape of the result.
        minval, maxval: the range; maxval itself is not drawn.
        dtype: an integer type.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = standardize_dtype(dtype)
    if not is_int_dtype(dtype):
        raise ValueError(f"`random.randint` requires an integer `dtype`. Received: dtype={dtype} ")
    key, shape = draw_seed(seed), canonical_shape(shape)
    if _is_number(minval) and _is_number(maxval):
        minval, maxval = int(minval), int(maxval)
        if maxval <= minval:
            raise ValueError(f"Expected minval < maxval; received minval={minval}, maxval={maxval}.")
        narrow = maxval - minval <= 2**32
        low, span = float(minval), float(maxval - minval)
    else:
        narrow = dtype not in ("int64", "uint64")
        low = as_tensor_of(minval, "float64")
        span = as_tensor_of(maxval, "float64") - low
    # A fraction in doubles: 32 random bits, or 52 where the range is wider than they resolve.
    if narrow:
        share = call("cast", call("random_bits", key, shape=shape), dtype="float64") * 2.0**-32
    else:
        words = call("random_bits", key, shape=[2, *shape])
        high, rest = (call("cast", call("right_shift", words[i], 6), dtype="float64") for i in range(2))
        share = (high + rest * 2.0**-26) * 2.0**-26
    return call("cast", call("floor", share * span) + low, dtype=dtype)


@symbolic_op
def categorical(logits: TensorLike, num_samples: int, dtype: DType = "int32", seed: Any = None) -> Tensor:
    """Classes drawn with the probabilities softmax(logits).

    Args:
        logits: (batch, classes).
        num_samples: how many to draw for each row.
        dtype: the type of the result.
        seed: an int, a SeedGenerator, or None for the global one.

    Returns:
        (batch, num_samples).
    """
    logits = as_float(logits)
    if logits.ndim != 2:
        raise ValueError(
            f"`logits` should be a 2-D tensor with shape (batch_size, num_classes). Got: {logits.shape}"
        )
    batch, classes = logits.shape
    u = call("random_uniform", draw_seed(seed), shape=[batch, int(num_samples), classes], dtype="float32")
    # The class whose exponential waiting time, at the rate exp(logit), is the shortest. u is kept off 0,
    # where two classes would tie at no time at all.
    waiting = -call("log1p", -(u + 2.0**-25))
    score = call("reshape", cast_to(logits, "float32"), shape=[batch, 1, classes]) - call("log", waiting)
    return cast_to(call("argmax", score, axis=2), standardize_dtype(dtype))


@symbolic_op
def dropout(
    inputs: TensorLike, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None
) -> Tensor:
    """Sets a share `rate` of the inputs to 0 and divides the others by 1 - rate.

    Args:
        inputs: a floating tensor.
        rate: between 0 and 1.
        noise_shape: the shape of the choice, broadcast to that of the inputs: along a dimension of size 1
            elements are dropped together. None in it stands for the size of the inputs.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    x = as_float(inputs)
    if rate == 0.0:
        return x
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"Expected 0 <= rate <= 1; received rate={rate}.")
    if rate == 1.0:
        return call("full", value=0, shape=x.shape, dtype=x.dtype)
    key = draw_seed(seed)
    if noise_shape is None:
        return call("dropout", x, key, rate=float(rate))
    shape = [d if n is None else int(n) for d, n in zip(x.shape, noise_shape, strict=True)]
    if shape == list(x.shape):
        return call("dropout", x, key, rate=float(rate))
    # Ones dropped out are factors 0 and 1 / (1 - rate).
    return x * call("dropout", call("full", value=1, shape=shape, dtype=x.dtype), key, rate=float(rate))


@symbolic_op
def shuffle(x: TensorLike, axis: int = 0, seed: Any = None) -> Tensor:
    """x with its slices along `axis` in random order."""
    x = as_tensor(x)
    axis = canonical_axis(axis, x.ndim)
    order = call("argsort", call("random_bits", draw_seed(seed), shape=[x.shape[axis]]), axis=0)
    return call("gather", x, order, axis=axis)


# --------------------------------------------------------------------------------- rejection sampling
# A loop until acceptance has no place in a graph: a fixed number of candidates is drawn at once, and the
# first that is accepted taken. Their number makes the chance that none is smaller than 1e-11.


@symbolic_op
def gamma(shape: Shape, alpha: TensorLike, dtype: DType = None, seed: Any = None) -> Tensor:
    """Numbers from the gamma distribution of shape `alpha` and scale 1.

    Args:
        shape: the shape of the result.
        alpha: > 0, a number or a tensor that broadcasts to `shape`.
        dtype: a floating type; the default one if None.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = _float_type(dtype, "gamma")
    shape = canonical_shape(shape)
    work = "float64" if dtype == "float64" else "float32"
    return cast_to(_gamma(draw_seed(seed), shape, as_tensor_of(alpha, work)), dtype)


def _gamma(key: Any, shape: list[int], alpha: Tensor) -> Tensor:
    """Marsaglia and Tsang's method: a cubed normal variable, accepted with at least 95 percent."""
    rounds, work = 9, alpha.dtype
    alpha = broadcast(alpha, shape)
    small = call("less", alpha, 1.0)
    # Below 1: draw for alpha + 1 and multiply by a power of a uniform variable.
    d = call("where", small, alpha + 1.0, alpha) - 1.0 / 3.0
    c = call("rsqrt", d * 9.0)
    x = call("random_normal", _derive(key, 1), shape=[rounds, *shape], mean=0.0, stddev=1.0, dtype=work)
    u = call("random_uniform", _derive(key, 2), shape=[rounds, *shape], dtype=work) + 2.0**-25
    root = c * x + 1.0
    positive = call("greater", root, 0.0)
    v = call("where", positive, root * root * root, 1.0)
    likely = call("less", call("log", u), x * x * 0.5 + d * (1.0 - v + call("log", v)))
    v = _first(v, call("logical_and", positive, likely))
    boost = call("random_uniform", _derive(key, 3), shape=shape, dtype=work) + 2.0**-25
    power = call("power", boost, 1.0 / call("where", small, alpha, 1.0))
    return d * v * call("where", small, power, 1.0)


def _first(candidates: Tensor, accepted: Tensor) -> Tensor:
    """The first accepted candidate along dimension 0 (the first one if none is)."""
    choice = call("argmax", call("cast", accepted, dtype="int32"), axis=0)
    choice = call("reshape", choice, shape=[1, *choice.shape])
    return call("reshape", call("take_along_axis", candidates, choice, axis=0), shape=candidates.shape[1:])


def _derive(key: Any, i: int) -> Tensor:
    """A key of its own for the i-th draw of a function."""
    return call("bitwise_xor", as_tensor(key), np.array([(0x9E3779B9 * i) & 0xFFFFFFFF, 0], np.uint32))


@symbolic_op
def beta(shape: Shape, alpha: TensorLike, beta: TensorLike, dtype: DType = None, seed: Any = None) -> Tensor:
    """Numbers from the beta distribution with parameters `alpha` and `beta`.

    Args:
        shape: the shape of the result.
        alpha, beta: > 0, numbers or tensors that broadcast to `shape`.
        dtype: a floating type; the default one if None.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = _float_type(dtype, "beta")
    shape = canonical_shape(shape)
    work = "float64" if dtype == "float64" else "float32"
    key = as_tensor(draw_seed(seed))
    a = _gamma(_derive(key, 17), shape, as_tensor_of(alpha, work))
    b = _gamma(_derive(key, 29), shape, as_tensor_of(beta, work))
    return cast_to(a / (a + b), dtype)


@symbolic_op
def binomial(
    shape: Shape, counts: TensorLike, probabilities: TensorLike, dtype: DType = None, seed: Any = None
) -> Tensor:
    """How many of `counts` trials succeed, each with the given probability.

    Args:
        shape: the shape of the result.
        counts, probabilities: numbers or tensors that broadcast to `shape`.
        dtype: a floating type; the default one if None.
        seed: an int, a SeedGenerator, or None for the global one.
    """
    dtype = _float_type(dtype, "binomial")
    shape = canonical_shape(shape)
    key = as_tensor(draw_seed(seed))
    n = broadcast(call("floor", as_tensor_of(counts, "float64")), shape)
    p = broadcast(as_tensor_of(probabilities, "float64"), shape)
    swapped = call("greater", p, 0.5)
    p = call("where", swapped, 1.0 - p, p)
    few = call("less", n * p, 10.0)
    # Both methods run everywhere: each gets harmless parameters where the other one counts.
    k = call(
        "where",
        few,
        _binomial_inversion(key, shape, call("where", few, n, 1.0), call("where", few, p, 0.5)),
        _binomial_rejection(key, shape, call("where", few, 40.0, n), call("where", few, 0.5, p)),
    )
    return cast_to(call("where", swapped, n - k, k), dtype)


def _binomial_inversion(key: Tensor, shape: list[int], n: Tensor, p: Tensor) -> Tensor:
    """Counts the steps of the distribution function below a uniform number; for means below 10."""
    u = call("random_uniform", _derive(key, 1), shape=shape, dtype="float64")
    ratio = p / (1.0 - p)
    mass = call("exp", n * call("log1p", -p))
    total, k = mass, call("full", value=0, shape=shape, dtype="float64")
    # At a mean of 10, more than 60 successes have a chance of 1e-27.
    for i in range(60):
        k = k + call("cast", call("greater", u, total), dtype="float64")
        mass = mass * ratio * call("maximum", n - float(i), 0.0) * (1.0 / (i + 1.0))
        total = total + mass
    return call("minimum", k, n)


def _binomial_rejection(key: Tensor, shape: list[int], n: Tensor, p: Tensor) -> Tensor:
    """Hoermann's transformed rejection (BTRS), for means of 10 and more; accepts about 80 percent."""
    rounds = 20
    deviation = call("sqrt", n * p * (1.0 - p))
    b = deviation * 2.53 + 1.15
    a = b * 0.0248 + p * 0.01 - 0.0873
    mode = call("floor", (n + 1.0) * p)
    u = call("random_uniform", _derive(key, 2), shape=[rounds, *shape], low=-0.5, high=0.5, dtype="float64")
    v = call("random_uniform", _derive(key, 3), shape=[rounds, *shape], dtype="float64") + 2.0**-33
    us = call("maximum", 0.5 - call("abs", u), 2.0**-33)
    k = call("floor", (a * 2.0 / us + b) * u + n * p + 0.5)
    inside = call("logical_and", call("greater_equal", k, 0.0), call("less_equal", k, n))
    k = call("minimum", call("maximum", k, 0.0), n)
    scale = deviation * (5.1 / b + 2.83)
    bound = (
        call("lgamma", mode + 1.0)
        + call("lgamma", n - mode + 1.0)
        - call("lgamma", k + 1.0)
        - call("lgamma", n - k + 1.0)
        + (k - mode) * call("log", p / (1.0 - p))
    )
    likely = call("less_equal", call("log", v * scale / (a / (us * us) + b)), bound)
    return _first(k, call("logical_and", inside, likely))


# ----------------------------------------------------------------------------------------------- arguments


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, _engine.Cell)


def _parameter(x: TensorLike, dtype: str) -> Any:
    return float(x) if _is_number(x) else as_tensor_of(x, dtype)


def _float_type(dtype: DType, op: str) -> str:
    dtype = dtype_or_floatx(dtype)
    if not is_float_dtype(dtype) or dtype not in FLOATS:
        raise ValueError(f"`random.{op}` requires a floating point `dtype`. Received: dtype={dtype} ")
    return dtype
